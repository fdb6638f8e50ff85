//! The program `onlooker`; all of it is in the library's `program`.

fn main() -> std::process::ExitCode {
    onlooker::program::cli::run(std::env::args_os())
}
