//! A trained or half-trained model as a folder.
//!
//! | file | holds |
//! | --- | --- |
//! | `config.json` | the recipe, the unit of text, where the numbers come from |
//! | `vocab.txt` | one type a line, line number = id (`tokenizer.json` beside it for byte pairs) |
//! | `model.safetensors` | the parameters that validated best |
//! | `training_state.safetensors` | everything that a resumed training needs |
//! | `metrics.jsonl` | one event a line |
//!
//! Leaves whose form has the precision f16 are stored in it; all others as f32.
//!
//! Each file is written under another name and then renamed, so none is ever seen half-written.

use std::path::Path;

use pocketlm::pack::{Precision, write_file_with};
use pocketlm_kernels::half;
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};

use crate::corpus::{Encoder, Unit};
use crate::error::{Error, Result};
use crate::linear::{Entry, Parameters};
use crate::matrix::{Forms, Parametrization};
use crate::network::Network;
use crate::recipe::{Outline, Recipe, Step};
use crate::settings::ModelConfig;

mod replace;
pub(crate) mod tensors;

pub use replace::replace_folder;

use tensors::{fill, parse, read, shape, view, write};

/// Version of the folder's layout.
const VERSION: u32 = 1;
const CONFIG: &str = "config.json";
/// The model that validated best.
pub(crate) const MODEL: &str = "model.safetensors";
/// What a training needs to go on.
pub(crate) const TRAINING_STATE: &str = "training_state.safetensors";
/// `config.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Version of the folder's layout.
    pub version: u32,
    /// What a token is.
    pub unit: Unit,
    /// Number of types.
    pub vocabulary: usize,
    /// Shape and training.
    #[serde(flatten)]
    pub recipe: Recipe,
    /// How the matrices are described.
    #[serde(default, skip_serializing_if = "Forms::is_default")]
    pub forms: Forms,
    /// The steps of compression that it has seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub compression: Vec<Step>,
    /// Where the numbers come from.
    pub provenance: Provenance,
}

/// What made a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// SHA-256 over the data's splits.
    pub data_sha256: String,
    /// Tokens of the training split.
    pub train_tokens: u64,
    /// Seed of the training.
    pub seed: u64,
    /// Version of the program.
    pub version: String,
    /// Devices other than the processor that had a part in the training, by their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<String>,
}

impl Provenance {
    /// That of a model which another program trained, read by its layout.
    pub fn imported(layout: &str) -> Self {
        Self {
            data_sha256: String::new(),
            train_tokens: 0,
            seed: 0,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            devices: vec![format!("imported ({layout})")],
        }
    }

    /// Notes a device that has a part in the training.
    pub fn add_device(&mut self, name: String) {
        if !self.devices.contains(&name) {
            self.devices.push(name);
        }
    }

    /// What trained, for people: `cpu`, or the other devices.
    pub fn device(&self) -> String {
        if self.devices.is_empty() { "cpu".to_owned() } else { self.devices.join(", ") }
    }
}

impl Config {
    /// The configuration of a new training.
    ///
    /// # Errors
    /// When a form of the recipe does not fit its matrix.
    pub fn new(recipe: Recipe, encoder: &Encoder, provenance: Provenance) -> Result<Self> {
        let (unit, vocabulary) = (encoder.unit(), encoder.vocabulary().len());
        let forms = recipe.forms(vocabulary)?;
        let compression = Vec::new();
        Ok(Self { version: VERSION, unit, vocabulary, recipe, forms, compression, provenance })
    }

    /// Reads `config.json` of `folder`.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when there is none, or it is foreign, or of a later version.
    pub fn load(folder: &Path) -> Result<Self> {
        let path = folder.join(CONFIG);
        let text = std::fs::read_to_string(&path).map_err(|e| {
            Error::checkpoint(folder, format!("is no checkpoint: {CONFIG} cannot be read ({e})"))
        })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let config: Self = serde_json::from_str(text).map_err(|e| {
            Error::checkpoint(&path, format!("is not the configuration of a checkpoint: {e}"))
        })?;
        if config.version != VERSION {
            let what = format!("has version {}, this program reads {VERSION}", config.version);
            return Err(Error::checkpoint(&path, what));
        }
        let valid = config.recipe.validate();
        valid.map_err(|e| Error::checkpoint(&path, e.to_string()))?;
        Ok(config)
    }

    /// Writes `config.json` into `folder`.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).expect("a configuration is JSON");
        let path = folder.join(CONFIG);
        write_file_with(&path, |file| writeln!(file, "{text}")).map_err(Error::io(&path))
    }
}

/// A model read back for use.
#[derive(Clone)]
pub struct Checkpoint {
    /// Its configuration.
    pub config: Config,
    /// Its vocabulary and how text is cut into it.
    pub encoder: Encoder,
    /// Its operations.
    pub network: Network,
    /// The matrices that it computes with.
    pub parameters: Parameters,
    /// The numbers that make them.
    pub leaves: Parameters,
    /// How they make them.
    pub parametrization: Parametrization,
}

impl Checkpoint {
    /// A checkpoint of dense matrices that were trained elsewhere, with the settings of a base model for a training that
    /// goes on from it.
    ///
    /// # Errors
    /// When the shape makes no network.
    ///
    /// # Panics
    /// If the parameters are not those of the shape, or the cell is the uRNN, whose matrix is not dense.
    pub fn of(
        encoder: Encoder,
        model: ModelConfig,
        parameters: Parameters,
        provenance: Provenance,
    ) -> Result<Self> {
        let train = Recipe::base("zaremba-small")?.train;
        let recipe = Recipe { model, train, form: Vec::new() };
        recipe.validate()?;
        let config = Config::new(recipe, &encoder, provenance)?;
        let (network, expected) = Network::new(&config.recipe.model, config.vocabulary)?;
        assert_eq!(expected.entries(), parameters.entries(), "the matrices of this shape");
        let (parametrization, leaves) = Parametrization::new(&config.forms, &parameters)?;
        assert_eq!(leaves.entries(), parameters.entries(), "dense matrices");
        let leaves = parameters.clone();
        Ok(Self { config, encoder, network, parameters, leaves, parametrization })
    }

    /// Reads the best validated model of a checkpoint.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] naming the file that is missing, truncated, foreign or does not fit the others.
    pub fn load(folder: &Path) -> Result<Self> {
        let config = Config::load(folder)?;
        let encoder = Encoder::load(folder, config.unit)?;
        let types = encoder.vocabulary().len();
        if types != config.vocabulary {
            let what = format!("has {types} types, {CONFIG} says {}", config.vocabulary);
            return Err(Error::checkpoint(&folder.join("vocab.txt"), what));
        }
        let fault = |e: Error| Error::checkpoint(&folder.join(CONFIG), e.to_string());
        let shape = &config.recipe.model;
        let (network, parameters) = Network::new(shape, config.vocabulary).map_err(fault)?;
        let (parametrization, mut leaves) = Parametrization::new(&config.forms, &parameters)?;
        check_expansion(folder, leaves.data.len(), parameters.data.len())?;
        let path = folder.join(MODEL);
        if !path.exists() && folder.join(TRAINING_STATE).exists() {
            let what = "is not there yet: no epoch was validated; resume the training, or if it diverged train another with a lower rate";
            return Err(Error::checkpoint(&path, what));
        }
        let bytes = read(&path)?;
        let tensors = parse(&path, &bytes)?;
        fill(&path, &tensors, "", &mut leaves)?;
        let is_foreign = |name: &&str| leaves.find(name).is_none();
        if let Some(name) = tensors.names().into_iter().find(is_foreign) {
            let what = format!("has a tensor {name:?}, which the model of {CONFIG} lacks");
            return Err(Error::checkpoint(&path, what));
        }
        let mut model = Self { config, encoder, network, parameters, leaves, parametrization };
        model.materialise()?;
        Ok(model)
    }

    /// Its shape and forms without its numbers.
    pub fn outline(&self) -> Outline {
        Outline {
            model: self.config.recipe.model.clone(),
            vocabulary: self.config.vocabulary,
            forms: self.config.forms.clone(),
        }
    }

    fn materialise(&mut self) -> Result<()> {
        self.parametrization.mask(&self.leaves);
        self.parametrization.materialise(&self.leaves, &mut self.parameters)
    }

    /// Gives it other leaves, in other forms.
    ///
    /// # Errors
    /// When the forms do not fit its matrices.
    ///
    /// # Panics
    /// If the leaves are not those of the forms.
    pub fn reform(&mut self, forms: Forms, leaves: Parameters) -> Result<()> {
        let (parametrization, expected) = Parametrization::new(&forms, &self.parameters)?;
        assert_eq!(expected.entries(), leaves.entries(), "the leaves of these forms");
        self.config.forms = forms;
        self.parametrization = parametrization;
        self.leaves = leaves;
        self.materialise()
    }

    /// Gives it another shape, and the leaves for it.
    ///
    /// # Errors
    /// When the shape makes no network, or the forms do not fit its matrices.
    ///
    /// # Panics
    /// If the leaves are not those of the forms.
    pub fn reshape(&mut self, model: ModelConfig, forms: Forms, leaves: Parameters) -> Result<()> {
        (self.network, self.parameters) = Network::new(&model, self.config.vocabulary)?;
        self.config.recipe.model = model;
        self.reform(forms, leaves)
    }
}

impl Checkpoint {
    /// Writes it as a checkpoint without a training state, in the place of whatever the folder held: into a folder
    /// beside it, which is then renamed, so that the files in it are always of one model.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn save(&self, folder: &Path) -> Result<()> {
        replace_folder(folder, |new| {
            self.encoder.save(new)?;
            save_model(new, &self.leaves, &self.config.forms)?;
            self.config.save(new)
        })
    }
}

/// Refuses matrices that are far larger than what describes them, where they are large at all: a small file should not
/// cost gigabytes.
fn check_expansion(folder: &Path, leaves: usize, dense: usize) -> Result<()> {
    const SMALL: usize = 1 << 25;
    const MOST: usize = 1024;
    if dense <= SMALL || dense / MOST <= leaves {
        return Ok(());
    }
    let what = format!(
        "describes matrices of {dense} numbers by {leaves}: more than {MOST} times as many are refused"
    );
    Err(Error::checkpoint(folder, what))
}

/// Writes the parameters as the checkpoint's model; what has the precision f16 in `forms` is stored so.
///
/// # Errors
/// When the folder cannot be written.
pub fn save_model(folder: &Path, parameters: &Parameters, forms: &Forms) -> Result<()> {
    let is_half = |entry: &Entry| forms.leaf(&entry.name).precision == Precision::F16;
    let halves: Vec<u16> = parameters.data.iter().map(|&x| half::from_f32(x)).collect();
    let tensors = parameters.entries().iter().map(|entry| {
        let at = entry.range.clone();
        let tensor = if is_half(entry) {
            TensorView::new(Dtype::F16, shape(entry), bytemuck::cast_slice(&halves[at]))
                .expect("shape fits the data")
        } else {
            view(shape(entry), &parameters.data[at])
        };
        (entry.name.clone(), tensor)
    });
    write(&folder.join(MODEL), tensors.collect(), "model")
}
