//! Gradients of gradients are refused where candle lets them be noticed.

use std::process::Command;

use candle_core::{Result, Tensor, Var};

use crate::cases::all;
use crate::support::{backward, tensor, var};

const VARIABLE: &str = "CANDLE_GRAD_DO_NOT_DETACH";

#[test]
#[ignore = "a part of the test below, which runs it with CANDLE_GRAD_DO_NOT_DETACH set"]
fn in_a_process_that_keeps_the_graph_of_gradients() -> Result<()> {
    for case in all() {
        let vars: Vec<Var> =
            case.inputs.iter().enumerate().map(|(i, shape)| var(shape, i)).collect();
        let inputs: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
        let y = (case.apply)(&inputs)?;
        let error = backward(&y, &tensor(y.dims(), 9)).expect_err(&case.name).to_string();
        let op = case.name.split([' ', ',']).next().unwrap_or_default();
        let wanted = format!("{op}: gradients of gradients are not available");
        assert!(error.contains(&wanted), "{}: {error}", case.name);
    }
    Ok(())
}

#[test]
fn gradients_of_gradients_are_refused_by_name() {
    let program = std::env::current_exe().expect("this program");
    let test = "second_order::in_a_process_that_keeps_the_graph_of_gradients";
    let run =
        Command::new(program).args([test, "--exact", "--ignored"]).env(VARIABLE, "1").output();
    let run = run.expect("this program again");
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success() && said.contains("1 passed"), "{said}");
}
