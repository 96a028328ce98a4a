//! Help texts, made from the table of commands.

use crate::{
    args::{Arg, COMMON},
    command::{Command, Group, TABLE},
};

const WIDTH: usize = 110;

/// All commands, in Java's layout.
pub(crate) fn overview() -> String {
    let mut text = "The most commonly used mqadmin commands are:\n".to_owned();
    for command in TABLE {
        text.push_str(&format!("   {:<35} {}\n", command.name, command.doc));
    }
    text.push_str("\nSee 'mqadmin help <command>' for more information on a specific command.\n");
    text
}

/// One command's options, in Java's layout.
pub(crate) fn of(command: &Command) -> String {
    let args = sorted(command);
    let mut text = wrapped(&format!("usage: mqadmin {}", command.name), &usages(command, &args));
    let names: Vec<String> = args.iter().map(name_column).collect();
    let width = names.iter().map(String::len).max().unwrap_or(0) + 3;
    for (arg, name) in args.iter().zip(&names) {
        text.push_str(&described(name, width, arg.doc));
    }
    text
}

/// A page for the documentation.
pub(crate) fn markdown() -> String {
    let mut text = "# mqadmin\n\nMade from the table of commands by `mqadmin help --markdown`.\n".to_owned();
    for group in Group::ALL {
        text.push_str(&format!("\n## {}\n", group.title()));
        for command in TABLE.iter().filter(|command| command.group == group) {
            text.push_str(&format!(
                "\n### {}\n\n{}\n\n| option | meaning |\n|---|---|\n",
                command.name, command.doc
            ));
            for arg in sorted(command) {
                let must = if arg.required { " (required)" } else { "" };
                text.push_str(&format!(
                    "| `{}` | {}{must} |\n",
                    name_column(&arg).trim(),
                    arg.doc.replace('|', "\\|")
                ));
            }
        }
    }
    text
}

/// Java sorts options by their key, ignoring case.
fn sorted(command: &Command) -> Vec<Arg> {
    let mut args: Vec<Arg> = COMMON.iter().chain(command.args).copied().collect();
    args.sort_by_key(|arg| key(arg).to_lowercase());
    args
}

fn key(arg: &Arg) -> &'static str {
    if arg.short.is_empty() { arg.long } else { arg.short }
}

fn usages(command: &Command, args: &[Arg]) -> Vec<String> {
    let form = |arg: &Arg| {
        let dashes = if arg.short.is_empty() { "--" } else { "-" };
        let value = if arg.takes_value { " <arg>" } else { "" };
        format!("{dashes}{}{value}", key(arg))
    };
    let is_choice = |arg: &Arg| command.one_of.contains(&arg.long);
    let choices: Vec<_> = args.iter().filter(|arg| is_choice(arg)).map(form).collect();
    let mut choices = (!choices.is_empty()).then(|| choices.join(" | "));
    let mut usages = Vec::new();
    for arg in args {
        match (is_choice(arg), arg.required) {
            // The whole choice stands where its first option would.
            (true, _) => usages.extend(choices.take()),
            (false, true) => usages.push(form(arg)),
            (false, false) => usages.push(format!("[{}]", form(arg))),
        }
    }
    usages
}

fn wrapped(start: &str, parts: &[String]) -> String {
    let (mut text, mut line) = (String::new(), start.to_owned());
    for part in parts {
        if line.len() + 1 + part.len() >= WIDTH {
            text.push_str(&line);
            text.push('\n');
            line = " ".repeat("usage:".len());
        }
        line.push(' ');
        line.push_str(part);
    }
    text + &line + "\n"
}

fn name_column(arg: &Arg) -> String {
    let value = if arg.takes_value { " <arg>" } else { "" };
    match arg.short {
        "" => format!("    --{}{value}", arg.long),
        short => format!(" -{short},--{}{value}", arg.long),
    }
}

fn described(name: &str, width: usize, doc: &str) -> String {
    let mut text = format!("{name:<width$}");
    let mut column = width;
    for word in doc.split(' ') {
        if column + word.len() > WIDTH && column > width {
            text.truncate(text.trim_end().len());
            text.push_str(&format!("\n{:width$}", ""));
            column = width;
        }
        text.push_str(word);
        text.push(' ');
        column += word.len() + 1;
    }
    text.truncate(text.trim_end().len());
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::find;

    #[test]
    fn help_shows_every_option() {
        let text = of(find("topicRoute").unwrap());
        assert!(
            text.starts_with("usage: mqadmin topicRoute [-h] [--json] [-l] [-n <arg>] -t <arg>\n"),
            "{text}"
        );
        assert!(text.contains(" -t,--topic <arg>         topic name\n"), "{text}");
        for command in TABLE {
            for line in of(command).lines() {
                assert!(line.len() <= WIDTH || !line.trim_start().contains(' '), "{}: {line}", command.name);
            }
        }
    }

    #[test]
    fn the_page_names_every_command() {
        let page = markdown();
        for command in TABLE {
            assert!(page.contains(&format!("### {}\n", command.name)));
        }
    }
}
