//! The program `usher`: its commands.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program speaks to its terminal")]

use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use serde_json::json;
use server::config::{self, Config, Options};
use server::console::setup;
use server::reference;
use server::server::Server;
use server::settings::Profile;
use server::start::{self, Instruments};
use server::web::listen;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Registers and authenticates the users of your apps.
#[derive(Parser)]
#[command(name = "usher", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Starts the server.
    Serve {
        #[command(flatten)]
        options: Options,
        /// A TOML file with the same settings.
        #[arg(long)]
        config: Option<PathBuf>,
    },
    /// Developers: those who manage applications.
    Developer {
        #[command(subcommand)]
        command: DeveloperCommand,
    },
    /// Applications.
    App {
        #[command(subcommand)]
        command: AppCommand,
    },
    /// Prints reference documents.
    Reference {
        /// settings, errors, api or openapi.
        what: String,
    },
}

#[derive(Subcommand)]
enum DeveloperCommand {
    /// Adds a developer; the password comes by standard input.
    Add {
        #[command(flatten)]
        options: Options,
        /// A TOML file with the same settings.
        #[arg(long)]
        config: Option<PathBuf>,
        #[arg(long)]
        email: String,
        #[arg(long)]
        name: String,
        /// Says that the password is on standard input: it must not be on the command line.
        #[arg(long, required = true)]
        password_stdin: bool,
    },
    /// Sets a developer's password, opens the account where it was closed by wrong ones, and logs
    /// the developer out everywhere; the password comes by standard input.
    Reset {
        #[command(flatten)]
        options: Options,
        /// A TOML file with the same settings.
        #[arg(long)]
        config: Option<PathBuf>,
        #[arg(long)]
        email: String,
        /// Says that the password is on standard input: it must not be on the command line.
        #[arg(long, required = true)]
        password_stdin: bool,
    },
}

#[derive(Subcommand)]
enum AppCommand {
    /// Makes an application and prints its keys.
    Create {
        #[command(flatten)]
        options: Options,
        /// A TOML file with the same settings.
        #[arg(long)]
        config: Option<PathBuf>,
        #[arg(long)]
        name: String,
        /// The e-mail address of the developer it will belong to.
        #[arg(long)]
        owner: Option<String>,
        /// standard or compat.
        #[arg(long)]
        profile: Option<String>,
        /// One line of JSON.
        #[arg(long)]
        json: bool,
    },
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(wrong) => return refuse(&wrong),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(run(arguments.command)),
        Err(error) => Err(format!("cannot start: {error}")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(line) => {
            eprintln!("usher: {line}");
            ExitCode::FAILURE
        }
    }
}

/// Prints the help that was asked for; of a mistake one line.
fn refuse(wrong: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind;
    if let ErrorKind::DisplayHelp
    | ErrorKind::DisplayVersion
    | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand = wrong.kind()
    {
        let _ = wrong.print();
        return if wrong.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
    }
    let text = wrong.to_string();
    let what: Vec<&str> = text.lines().map(str::trim).take_while(|it| !it.is_empty()).collect();
    let what = what.join(" ");
    eprintln!("usher: {}. See --help", what.trim_start_matches("error: "));
    ExitCode::from(2)
}

async fn run(command: Command) -> Result<(), String> {
    match command {
        Command::Serve { options, config } => {
            serve(config::read(options, config.as_deref(), std::env::vars())?).await
        }
        Command::Developer { command } => {
            let (options, config, mut request) = match command {
                DeveloperCommand::Add { options, config, email, name, .. } => (
                    options,
                    config,
                    json!({ "do": "developer-add", "email": email, "name": name }),
                ),
                DeveloperCommand::Reset { options, config, email, .. } => {
                    (options, config, json!({ "do": "developer-reset", "email": email }))
                }
            };
            let mut secret = String::new();
            std::io::stdin().read_to_string(&mut secret).map_err(|it| it.to_string())?;
            let config = config::read(options, config.as_deref(), std::env::vars())?;
            request["password"] = secret.trim_end_matches(['\r', '\n']).into();
            println!("{}", server::control::ask(&config, request).await?);
            Ok(())
        }
        Command::App { command } => {
            let AppCommand::Create { options, config, name, owner, profile, json: _ } = command;
            let config = config::read(options, config.as_deref(), std::env::vars())?;
            let request =
                json!({ "do": "app-create", "name": name, "owner": owner, "profile": profile });
            println!("{}", server::control::ask(&config, request).await?);
            Ok(())
        }
        Command::Reference { what } => {
            let page = reference::PAGES.iter().find(|it| it.0 == what);
            let names = || reference::PAGES.map(|it| it.0).join(", ");
            let page =
                page.ok_or_else(|| format!("there is no reference of {what}: {}", names()))?;
            println!("{}", page.1().trim_end());
            Ok(())
        }
    }
}

async fn serve(config: Config) -> Result<(), String> {
    tracing_subscriber::fmt().json().with_writer(std::io::stderr).init();
    start::check_key(&config)?;
    std::panic::set_hook(Box::new(|panic| {
        // Where, not what: the words of a panic may hold what somebody has sent.
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "a panic; whoever asked gets an error, and the server goes on");
    }));
    let hold = match config.database_url {
        None => Some(start::hold(&config.data_dir)?.ok_or_else(|| start::held(&config.data_dir))?),
        Some(_) => None,
    };
    let busy = |setting, address: &str, it: std::io::Error| {
        format!("{setting}: cannot listen on {address}: {it}")
    };
    let (listener, bound) =
        listen::bind(&config.listen).await.map_err(|it| busy("listen", &config.listen, it))?;
    let metrics = match &config.metrics_listen {
        None => None,
        Some(address) => {
            Some(listen::bind(address).await.map_err(|it| busy("metrics-listen", address, it))?.0)
        }
    };
    let own = format!("http://{bound}");
    let public_url = config.public_url.clone().unwrap_or_else(|| own.clone());
    let server = start::build(&config, &public_url, Instruments::default()).await?;
    let outer = start::run(&server).await.map_err(|it| it.to_string())?;
    server::control::listen(&server, &config)?;
    if let Some(listener) = metrics {
        server::scrape::serve(&server, listener);
    }
    // From here on a signal to stop is heeded; before it just ends what has not begun.
    let signals = signals().map_err(|it| format!("cannot listen for signals: {it}"))?;
    announce(&server, &own).await?;
    let stopping = server.clone();
    server.background.run(async move {
        wait_for(signals).await;
        stopping.background.drain();
        // Balancers see that the server is not ready before it takes no more connections.
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        stopping.background.begin_stop();
    });
    listen::serve(&server, listener, outer).await;
    start::stop(&server).await;
    drop(hold);
    Ok(())
}

/// Says on the terminal where the server is and what to do next.
async fn announce(server: &Server, own: &str) -> Result<(), String> {
    println!("Usher listens on {own}");
    if server.new_app_profile == Profile::Compat {
        println!("Warning: new applications get the profile compat, which is for tests.");
    }
    match setup::link(server).await.map_err(|it| it.to_string())? {
        Some(link) => println!(
            "Open {link} to make the first developer and application (once, within an hour),\nor run:\n  \
             echo 'a long pass phrase' | usher developer add --email you@example.com --name You --password-stdin\n  \
             usher app create --name 'My app' --json"
        ),
        None => println!("To make another application: usher app create --name 'My app' --json"),
    }
    Ok(())
}

/// SIGTERM and SIGINT.
fn signals() -> std::io::Result<(Signal, Signal)> {
    Ok((signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?))
}

#[expect(
    clippy::disallowed_methods,
    clippy::exit,
    reason = "who asks a second time wants the end now, not what the server thinks of it"
)]
async fn wait_for((mut term, mut int): (Signal, Signal)) {
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    // The second one means now.
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        std::process::exit(1);
    });
}
