//! Trials that compress one trained model.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::{Search, Spec, Trial, Work};
use crate::error::Result;
use crate::recipe::CompressionRecipe;

impl Spec<'_> {
    /// The folder of the model, and the steps before any of their keys varies.
    pub(super) fn compression(&self, table: &Table) -> Result<(PathBuf, Vec<Value>)> {
        let only = |key: &&String| !["checkpoint", "step"].contains(&key.as_str());
        if let Some(key) = table.keys().find(only) {
            let shown = if table[key].is_table() { format!("[{key}]") } else { key.clone() };
            return Err(self.at(&shown, "is of trainings: it has no place beside checkpoint"));
        }
        let name = table.get("checkpoint").and_then(Value::as_str);
        let name = name.ok_or_else(|| self.at("checkpoint", "is not a string"))?;
        let folder = Path::new(self.place).parent().unwrap_or(Path::new(""));
        match table.get("step").and_then(Value::as_array) {
            Some(steps) if steps.iter().all(Value::is_table) => {
                Ok((folder.join(name), steps.clone()))
            }
            _ => Err(self.at("checkpoint", "needs steps to compress it by: write [[step]]")),
        }
    }

    pub(super) fn compressions(&self, steps: &[Value], search: &Search) -> Result<Vec<Trial>> {
        let trial = |(settings, number): (&Vec<Value>, usize)| {
            let mut steps = steps.to_vec();
            for (key, value) in search.keys.iter().zip(settings) {
                self.set(&mut steps, key, value)?;
            }
            let table = Table::from_iter([("step".to_owned(), Value::Array(steps))]);
            let recipe = CompressionRecipe::from_table(self.place, self.text, &table)
                .map_err(|e| self.of_trial(number, &search.keys, settings, e))?;
            Ok(Trial { number, settings: settings.clone(), work: Work::Compression(recipe) })
        };
        search.values.iter().zip(1..).map(trial).collect()
    }

    /// Gives the key `step.N.KEY` a value.
    fn set(&self, steps: &mut [Value], key: &str, value: &Value) -> Result<()> {
        let count = steps.len();
        let fault = || {
            let what =
                format!("is no setting of a step: write step.N.KEY with N from 1 to {count}");
            self.at(key, what)
        };
        let mut parts = key.split('.');
        let number = (parts.next() == Some("step")).then(|| parts.next()?.parse::<usize>().ok());
        let at = number.flatten().and_then(|number| number.checked_sub(1)).ok_or_else(fault)?;
        let mut place = steps.get_mut(at).ok_or_else(fault)?;
        let mut has_name = false;
        for part in parts {
            let table = place.as_table_mut().ok_or_else(fault)?;
            place = table.entry(part).or_insert_with(|| Value::Table(Table::new()));
            has_name = true;
        }
        if !has_name {
            return Err(fault());
        }
        *place = value.clone();
        Ok(())
    }
}
