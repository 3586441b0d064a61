//! Tests of the registry on databases of their own.
