//! The rows of a proposal as columns: one list per column, built when it is read.

/// Defines a class with one getter per column. Each getter maps the class's rows to a list. The
/// class holds the proposal to which the rows belong, and has a method `rows`.
macro_rules! columns {
    ($class:ident($of:ty) { $($column:ident: $type:ty = |$row:pat_param| $value:expr,)* }) => {
        #[pyclass(frozen, module = "goald._native")]
        pub struct $class(pub(super) $of);

        #[pymethods]
        impl $class {
            $(
                #[getter]
                fn $column(&self) -> Vec<$type> {
                    self.rows().map(|$row| $value).collect()
                }
            )*

            fn __len__(&self) -> usize {
                self.rows().len()
            }
        }
    };
}
