//! What is asked for: which rates, which inputs, how large the nets are.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::error::HybridError;

/// What a net does to the rate of a reaction. With `q = softplus(net)`, the unit `u` (a parameter is its size) and scales `s`:
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// It replaces the law: `r = u q Π x/(x + s)` over the species that the reaction consumes. It runs one way.
    #[default]
    Replace,
    /// It multiplies the law by a positive number that starts near one: `r = law · q`.
    Correct,
    /// It adds to the law: `r = law + u q Π_consumed x/(x + s) - u q' Π_produced x/(x + s)`.
    Add,
}

/// One rate that a net replaces or corrects; as text, `REACTION[:replace|correct|add[:INPUT,INPUT]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateRequest {
    /// The reaction.
    pub reaction: String,
    /// What the net does.
    pub part: Part,
    /// What the net sees: ids of the model, or `time`. If it is empty: the species that the reaction consumes, and all in its law
    /// that varies.
    pub inputs: Vec<String>,
}

impl FromStr for RateRequest {
    type Err = HybridError;

    fn from_str(text: &str) -> Result<Self, HybridError> {
        let wrong = || HybridError::Syntax { text: text.to_owned() };
        let mut parts = text.split(':');
        let reaction = parts.next().filter(|x| !x.is_empty()).ok_or_else(wrong)?.to_owned();
        let part = match parts.next() {
            None | Some("replace") => Part::Replace,
            Some("correct") => Part::Correct,
            Some("add") => Part::Add,
            Some(_) => return Err(wrong()),
        };
        let inputs: Vec<String> = match parts.next() {
            None => Vec::new(),
            Some(list) => list.split(',').map(str::to_owned).collect(),
        };
        if parts.next().is_some() || inputs.iter().any(String::is_empty) {
            return Err(wrong());
        }
        Ok(Self { reaction, part, inputs })
    }
}

/// What nets are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HybridRequest {
    /// Nets for these rates; all else is the model's.
    Rates(Vec<RateRequest>),
    /// A net for every rate: only what reactions change and consume is the model's.
    AllRates,
    /// One net for all of `dy/dt`, with no mechanism at all: what a hybrid has to be better than.
    BlackBox,
}

/// How large nets are, and what keeps them simple.
#[derive(Debug, Clone, PartialEq)]
pub struct NetOptions {
    /// Widths of hidden layers, tanh.
    pub hidden: Vec<usize>,
    /// Standard deviation of the normal prior of weights about zero: the smaller, the smoother the rates.
    pub weight_sd: f64,
    /// Seed of the weights that `nominal` has.
    pub seed: u64,
}

impl Default for NetOptions {
    /// One hidden layer of 5, weights of about one.
    fn default() -> Self {
        Self { hidden: vec![5], weight_sd: 1.0, seed: 0 }
    }
}
