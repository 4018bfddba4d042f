//! Kinds of recurrent cells.

use super::named;

named! {
    /// The kind of a recurrent cell.
    CellKind {
        /// Long short-term memory (Hochreiter and Schmidhuber 1997) with a forget gate (Gers et al. 2000) and no
        /// peepholes; gates `i, f, g, o`.
        Lstm = "lstm",
        /// Gated recurrent unit (Cho et al. 2014) with the reset gate after the product, as in PyTorch and cuDNN;
        /// gates `r, z, n`.
        Gru = "gru",
        /// LSTM with coupled input and forget gates, `i = 1 - f` (Greff et al. 2015); gates `f, g, o`.
        Cifg = "cifg",
        /// Unitary evolution recurrent network (Arjovsky et al. 2016): half as many complex units as numbers of state,
        /// no gates.
        Urnn = "urnn",
    }
}

impl CellKind {
    /// Gates, that is rows of the cell's matrices for each unit: 4, 3, 3, and 1 for the uRNN.
    #[must_use]
    pub fn gates(self) -> usize {
        match self {
            CellKind::Lstm => 4,
            CellKind::Gru | CellKind::Cifg => 3,
            CellKind::Urnn => 1,
        }
    }

    /// Blocks of pre-activations, each of a number for each unit: as many as gates, and one more for the GRU, whose
    /// candidate keeps the input's and the state's share apart.
    #[must_use]
    pub fn blocks(self) -> usize {
        self.gates() + usize::from(self == CellKind::Gru)
    }

    /// Numbers of bias of a layer of so many units: one for each pre-activation (of the GRU `b_r, b_z, b_n, b_hn`); for
    /// the uRNN one for each complex unit, of two of these units.
    #[must_use]
    pub fn bias(self, units: usize) -> usize {
        if self == CellKind::Urnn { units / 2 } else { self.blocks() * units }
    }

    /// Whether it has a memory beside its output.
    #[must_use]
    pub fn has_memory(self) -> bool {
        matches!(self, CellKind::Lstm | CellKind::Cifg)
    }
}
