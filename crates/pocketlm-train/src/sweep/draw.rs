//! How the settings of a random search are drawn.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;
use toml::Value;

use super::nearest;

/// How a setting is drawn.
pub enum Draw {
    /// Between two numbers.
    Uniform(f64, f64),
    /// A whole number between two, both included.
    Whole(i64, i64),
    /// Between two numbers, uniform in the logarithm.
    LogUniform(f64, f64),
    /// The same for whole numbers.
    LogWhole(i64, i64),
    /// One of these.
    Choice(Vec<Value>),
}

/// Their names in a specification.
pub const KINDS: [&str; 3] = ["uniform", "log-uniform", "choice"];

impl Draw {
    /// Reads `{ uniform = [0.0, 0.6] }`; an error is what is wrong, without the place.
    pub fn read(value: &Value) -> std::result::Result<Self, String> {
        let how = "needs to be one of { uniform = [low, high] }, { log-uniform = [low, high] }, \
                   { choice = [a, b] }";
        let Some(table) = value.as_table() else { return Err(how.to_owned()) };
        let mut entries = table.iter();
        let (Some((kind, values)), None) = (entries.next(), entries.next()) else {
            return Err(how.to_owned());
        };
        let values = values.as_array().ok_or(how)?;
        match kind.as_str() {
            "choice" if values.is_empty() => Err("has no values to choose from".to_owned()),
            "choice" => Ok(Self::Choice(values.clone())),
            "uniform" => Self::between(values, false),
            "log-uniform" => Self::between(values, true),
            other => Err(format!(
                "cannot be drawn {other:?}: did you mean {:?}?",
                nearest(other, &KINDS)
            )),
        }
    }

    fn between(values: &[Value], is_log: bool) -> std::result::Result<Self, String> {
        let number = |value: &Value| value.as_float().or(value.as_integer().map(|n| n as f64));
        let bounds: Vec<f64> = values.iter().filter_map(number).collect();
        let (&[low, high], true) = (&bounds[..], bounds.len() == values.len()) else {
            return Err("needs two numbers, [low, high]".to_owned());
        };
        if !(low < high && low.is_finite() && high.is_finite()) {
            return Err(format!("goes from {low} to {high}: give the smaller number first"));
        }
        if is_log && low <= 0.0 {
            return Err(format!("is log-uniform from {low}: give a lower bound above 0"));
        }
        Ok(match (values, is_log) {
            (&[Value::Integer(low), Value::Integer(high)], false) => Self::Whole(low, high),
            (&[Value::Integer(low), Value::Integer(high)], true) => Self::LogWhole(low, high),
            (_, false) => Self::Uniform(low, high),
            (_, true) => Self::LogUniform(low, high),
        })
    }

    /// The next one.
    pub fn value(&self, random: &mut ChaCha8Rng) -> Value {
        let share = (random.next_u64() >> 11) as f64 * (-53f64).exp2();
        let log = |low: f64, high: f64| (low.ln() + share * (high.ln() - low.ln())).exp();
        match self {
            Self::Uniform(low, high) => Value::Float(rounded(low + share * (high - low))),
            Self::LogUniform(low, high) => Value::Float(rounded(log(*low, *high))),
            Self::Whole(low, high) => {
                let width = *high as f64 - *low as f64 + 1.0;
                Value::Integer(low.saturating_add((share * width) as i64).min(*high))
            }
            Self::LogWhole(low, high) => {
                let drawn = log(*low as f64, *high as f64 + 1.0) as i64;
                Value::Integer(drawn.clamp(*low, *high))
            }
            Self::Choice(values) => values[(share * values.len() as f64) as usize].clone(),
        }
    }
}

/// To four significant digits.
fn rounded(x: f64) -> f64 {
    format!("{x:.3e}").parse().expect("a number that was written as one")
}
