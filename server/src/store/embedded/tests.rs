//! What only the store on disk can do wrong.
