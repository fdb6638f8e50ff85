//! The port, and whether this machine itself reaches it.

use super::super::facts::{Code, Facts, Holder, Process, Serving, Wanted};
use crate::discovery::address::Reach;
use crate::wire::CheckLine;

pub fn port(facts: &Facts) -> CheckLine {
    const CHECK: &str = "port";
    let (port, bind) = (facts.wanted.port, facts.wanted.bind);
    match &facts.holder {
        Holder::Nobody => CheckLine::good(CHECK, format!("no other program has {port}")),
        Holder::Ours(process, serving) => {
            let who = process.as_ref().map_or(String::new(), |process| {
                format!(" (process {})", process.pid)
            });
            CheckLine::good(CHECK, format!("onlooker{who} has {port}{}", what(serving)))
        }
        Holder::Passed(usual, process) => CheckLine::note(
            CHECK,
            format!(
                "onlooker takes the next free port, which is {port}: another program has {usual}{}",
                named(process.as_ref())
            ),
            format!(
                "fine if {port} is let in wherever {usual} was; for {usual}, stop that program"
            ),
        ),
        Holder::Other(process) => taken(&facts.wanted, process.as_ref()),
        Holder::Unusable(reason) if port < 1024 => CheckLine::wrong(
            CHECK,
            format!("cannot listen on {port}: {reason}"),
            "ports below 1024 need root: choose a higher one",
        )
        .typing("onlooker --port 9876"),
        Holder::Unusable(reason) => CheckLine::wrong(
            CHECK,
            format!("cannot listen on {bind} port {port}: {reason}"),
            "listen on every address of this machine: leave --bind out",
        ),
    }
}

fn taken(wanted: &Wanted, process: Option<&Process>) -> CheckLine {
    let port = wanted.port;
    let next = port.checked_add(1).unwrap_or(9876);
    let found = format!("another program has {port}{}", named(process));
    match process {
        Some(Process { pid, .. }) => CheckLine::wrong(
            "port",
            found,
            format!("stop it (kill {pid}), or choose another port"),
        )
        .typing(format!("onlooker --port {next}")),
        None => {
            let look = match cfg!(windows) {
                true => format!("netstat -ano | findstr :{port}"),
                false => format!("sudo lsof -i :{port}"),
            };
            CheckLine::wrong(
                "port",
                found,
                format!(
                    "find it with the line below, or choose another port: onlooker --port {next}"
                ),
            )
            .typing(look)
        }
    }
}

fn named(process: Option<&Process>) -> String {
    match process {
        Some(Process { pid, name }) => format!(": {name} (process {pid})"),
        None => "; this user may not see which".to_owned(),
    }
}

fn what(serving: &Serving) -> String {
    let topics = match serving.topics.as_deref() {
        None => return String::new(),
        Some([]) => return " and has nothing to show yet".to_owned(),
        Some([first, second, third, _, ..]) => format!("{first}, {second}, {third} and more"),
        Some(topics) => topics.join(", "),
    };
    let viewers = match serving.viewers {
        Some(1) => " to 1 viewer".to_owned(),
        Some(viewers) => format!(" to {viewers} viewers"),
        None => String::new(),
    };
    format!(" and serves {topics}{viewers}")
}

/// Only what a connection of this machine to itself can show.
pub fn reach(facts: &Facts) -> Option<CheckLine> {
    const CHECK: &str = "reach";
    let Code::Found(code) = facts.code() else {
        return None;
    };
    // No phone comes by that one.
    if code.reach == Reach::Loopback {
        return None;
    }
    let came = facts
        .reached
        .iter()
        .find(|(address, _)| *address == code.address);
    let shown = match &came?.1 {
        Ok(()) => {
            let found = format!(
                "this machine reaches itself at {}; whether others do, a phone shows",
                code.address
            );
            return Some(CheckLine::good(CHECK, found));
        }
        Err(reason) => format!(
            "this machine cannot even reach itself at {}: {reason}",
            code.address
        ),
    };
    let way = "something on this machine filters the connection: a firewall, a VPN's kill switch, a virus scanner";
    Some(CheckLine::wrong(CHECK, shown, way))
}
