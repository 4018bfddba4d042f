//! The program `pocketlm`; the library beside it holds all of it.

fn main() -> std::process::ExitCode {
    pocketlm_cli::main()
}
