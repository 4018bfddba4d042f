//! A graph being built: operations in their order, and the numbers they use.

use std::collections::HashSet;

use super::proto::{
    AttributeProto, AttributeType, DataType, DimensionProto, GraphProto, NodeProto, TensorProto,
    TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};

/// The domain of ONNX Runtime's own operators.
pub(super) const MICROSOFT: &str = "com.microsoft";

/// A dimension of an input or an output.
#[derive(Clone, Copy)]
pub(super) enum Dim {
    /// So many.
    Fixed(usize),
    /// As many as come.
    Named(&'static str),
}

/// Operations and numbers. Values are known by their names, which are made here and never twice.
#[derive(Default)]
pub(super) struct Graph {
    nodes: Vec<NodeProto>,
    initialisers: Vec<TensorProto>,
    names: HashSet<String>,
    count: usize,
}

pub(super) fn int(name: &str, value: usize) -> AttributeProto {
    let (i, r#type) = (Some(value as i64), AttributeType::Int.into());
    AttributeProto { name: name.into(), i, r#type, ..AttributeProto::default() }
}

pub(super) fn ints(name: &str, values: &[i64]) -> AttributeProto {
    let (ints, r#type) = (values.to_vec(), AttributeType::Ints.into());
    AttributeProto { name: name.into(), ints, r#type, ..AttributeProto::default() }
}

pub(super) fn text(name: &str, value: &str) -> AttributeProto {
    let (s, r#type) = (Some(value.as_bytes().to_vec()), AttributeType::String.into());
    AttributeProto { name: name.into(), s, r#type, ..AttributeProto::default() }
}

/// The description of an input or an output.
pub(super) fn value(name: &str, kind: DataType, shape: &[Dim]) -> ValueInfoProto {
    let dim = |dim: &Dim| match *dim {
        Dim::Fixed(size) => DimensionProto { dim_value: Some(size as i64), dim_param: None },
        Dim::Named(name) => DimensionProto { dim_value: None, dim_param: Some(name.into()) },
    };
    let shape = Some(TensorShapeProto { dim: shape.iter().map(dim).collect() });
    let tensor_type = Some(TensorTypeProto { elem_type: kind.into(), shape });
    ValueInfoProto { name: name.into(), r#type: Some(TypeProto { tensor_type }) }
}

impl Graph {
    /// Adds an operation with one output, whose name is returned.
    pub fn node(&mut self, op: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        self.nodes("", op, inputs, 1, attributes).remove(0)
    }

    /// Adds an operation of a domain with several outputs.
    pub fn nodes(
        &mut self,
        domain: &str,
        op: &str,
        inputs: &[&str],
        outputs: usize,
        attribute: Vec<AttributeProto>,
    ) -> Vec<String> {
        let output: Vec<String> = (0..outputs).map(|_| self.fresh(op)).collect();
        self.nodes.push(NodeProto {
            input: inputs.iter().map(|&input| input.into()).collect(),
            output: output.clone(),
            name: format!("node.{}", output[0]),
            op_type: op.into(),
            attribute,
            domain: domain.into(),
        });
        output
    }

    /// Gives a value the name of an output.
    pub fn name(&mut self, value: &str, name: &str) {
        self.nodes.push(NodeProto {
            input: vec![value.into()],
            output: vec![name.into()],
            name: format!("node.{name}"),
            op_type: "Identity".into(),
            ..NodeProto::default()
        });
    }

    /// A name that nothing has.
    pub fn fresh(&mut self, of: &str) -> String {
        self.count += 1;
        format!("{}.{}", of.to_lowercase(), self.count)
    }

    /// Whether there are numbers of this name yet; there are after it.
    pub fn is_new(&mut self, name: &str) -> bool {
        self.names.insert(name.into())
    }

    fn tensor(&mut self, name: &str, shape: &[usize], kind: DataType, raw_data: Vec<u8>) {
        let dims = shape.iter().map(|&size| size as i64).collect();
        let (name, data_type) = (name.into(), kind.into());
        self.initialisers.push(TensorProto { dims, data_type, name, raw_data });
    }

    /// Adds numbers.
    pub fn floats(&mut self, name: &str, shape: &[usize], numbers: &[f32]) {
        let bytes = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.tensor(name, shape, DataType::Float, bytes);
    }

    /// Adds bytes.
    pub fn bytes(&mut self, name: &str, shape: &[usize], bytes: Vec<u8>) {
        self.tensor(name, shape, DataType::Uint8, bytes);
    }

    /// A number.
    pub fn float(&mut self, number: f32) -> String {
        let name = format!("constant.{number:e}");
        if self.is_new(&name) {
            self.floats(&name, &[], &[number]);
        }
        name
    }

    /// A list of integers.
    pub fn longs(&mut self, numbers: &[i64]) -> String {
        let name = format!("constant.{numbers:?}");
        if self.is_new(&name) {
            let bytes = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
            self.tensor(&name, &[numbers.len()], DataType::Int64, bytes);
        }
        name
    }

    /// An integer.
    pub fn long(&mut self, number: i64) -> String {
        let name = format!("constant.{number}");
        if self.is_new(&name) {
            self.tensor(&name, &[], DataType::Int64, number.to_le_bytes().to_vec());
        }
        name
    }

    /// How many operations there are.
    pub fn mark(&self) -> usize {
        self.nodes.len()
    }

    /// Takes the operations since `mark` out, as the body of a loop; its numbers stay outside, where it sees them.
    pub fn body(
        &mut self,
        mark: usize,
        input: Vec<ValueInfoProto>,
        output: Vec<ValueInfoProto>,
    ) -> AttributeProto {
        let (node, name) = (self.nodes.split_off(mark), self.fresh("body"));
        let g = Some(GraphProto { node, name, input, output, initializer: Vec::new() });
        let r#type = AttributeType::Graph.into();
        AttributeProto { name: "body".into(), g, r#type, ..AttributeProto::default() }
    }

    /// Whether an operator of this domain is used.
    pub fn uses(&self, domain: &str) -> bool {
        fn any(nodes: &[NodeProto], domain: &str) -> bool {
            let within = |attribute: &AttributeProto| {
                attribute.g.as_ref().is_some_and(|graph| any(&graph.node, domain))
            };
            nodes.iter().any(|node| node.domain == domain || node.attribute.iter().any(within))
        }
        any(&self.nodes, domain)
    }

    /// The whole graph.
    pub fn finish(self, input: Vec<ValueInfoProto>, output: Vec<ValueInfoProto>) -> GraphProto {
        let (node, initializer) = (self.nodes, self.initialisers);
        GraphProto { node, name: "pocketlm".into(), initializer, input, output }
    }
}
