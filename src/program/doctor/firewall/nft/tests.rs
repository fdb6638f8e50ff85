//! Rules as nft prints them, one chain of input unless a test has more.

use serde_json::json;

use super::*;

const PACKET: Packet = Packet {
    port: 9876,
    interface: Some("wlan0"),
    is_v6: false,
};

fn list(policy: &str, rules: &[Value], more: &[Value]) -> String {
    let chain = json!({"chain": {"family": "inet", "table": "filter", "name": "input", "handle": 1,
        "type": "filter", "hook": "input", "prio": 0, "policy": policy}});
    let rules = rules.iter().enumerate().map(|(at, expr)| {
        json!({"rule": {"family": "inet", "table": "filter", "chain": "input", "handle": at + 4, "expr": expr}})
    });
    let all = [json!({"metainfo": {"version": "1.0.6"}}), chain];
    let all: Vec<Value> = all.into_iter().chain(rules).chain(more.to_vec()).collect();
    json!({ "nftables": all }).to_string()
}

fn fate(policy: &str, rules: &[Value]) -> Fate {
    judge(&list(policy, rules, &[]), &PACKET).unwrap()
}

fn matching(left: Value, right: Value) -> Value {
    json!({"match": {"op": "==", "left": left, "right": right}})
}

fn dport(right: Value) -> Value {
    matching(
        json!({"payload": {"protocol": "tcp", "field": "dport"}}),
        right,
    )
}

fn meta(key: &str, right: &str) -> Value {
    matching(json!({"meta": {"key": key}}), json!(right))
}

fn accept() -> Value {
    json!({"accept": null})
}

fn drop() -> Value {
    json!({"drop": null})
}

fn is_let(fate: &Fate) -> bool {
    matches!(fate, Fate::Let(_))
}

fn is_dropped(fate: &Fate) -> bool {
    matches!(fate, Fate::Dropped { .. })
}

#[test]
fn nothing_that_filters_is_nothing() {
    assert_eq!(judge(r#"{"nftables":[{"metainfo":{}}]}"#, &PACKET), None);
    assert_eq!(judge("no list", &PACKET), None);
    assert_eq!(judge("[]", &PACKET), None);
}

#[test]
fn the_policy_decides_where_no_rule_does() {
    let usual = [
        json!([meta("iif", "lo"), accept()]),
        json!([{"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "related"]}}, accept()]),
        json!([dport(json!({"set": [22, {"range": [80, 90]}]})), accept()]),
        json!([meta("l4proto", "icmp"), accept()]),
        json!([{"match": {"op": "==", "left": {"payload": {"protocol": "udp", "field": "dport"}}, "right": 9876}}, accept()]),
    ];
    assert!(is_let(&fate("accept", &usual)));
    let Fate::Dropped { found, command, .. } = fate("drop", &usual) else {
        panic!("it is dropped");
    };
    assert_eq!(
        found,
        "nft: inet filter input drops what no rule accepts, and none accepts TCP 9876"
    );
    assert_eq!(
        command,
        "sudo nft insert rule inet filter input tcp dport 9876 accept"
    );
}

#[test]
fn a_rule_for_the_port_decides() {
    let rights = [
        json!(9876),
        json!({"range": [9000, 9999]}),
        json!({"set": [22, 9876]}),
        json!({"set": [22, {"range": [9870, 9880]}]}),
    ];
    for right in rights {
        let rule = |end: Value| {
            [json!([dport(right.clone()), {"counter": {"packets": 0, "bytes": 0}}, end])]
        };
        assert!(is_let(&fate("drop", &rule(accept()))), "{right}");
        assert!(is_dropped(&fate("accept", &rule(drop()))), "{right}");
        let reject = json!({"reject": {"type": "tcp reset"}});
        assert!(is_dropped(&fate("accept", &rule(reject))), "{right}");
    }
    let Fate::Dropped { found, .. } = fate("accept", &[json!([dport(json!(9876)), drop()])]) else {
        panic!("it is dropped");
    };
    assert_eq!(
        found,
        "nft: the rule with handle 4 in inet filter input drops TCP 9876"
    );
}

#[test]
fn the_interface_decides_too() {
    assert!(is_let(&fate(
        "drop",
        &[json!([meta("iifname", "wlan0"), accept()])]
    )));
    assert!(is_let(&fate(
        "drop",
        &[json!([meta("iifname", "wl*"), accept()])]
    )));
    assert!(is_dropped(&fate(
        "drop",
        &[json!([meta("iifname", "eth0"), accept()])]
    )));
    let other = json!({"match": {"op": "!=", "left": {"meta": {"key": "iifname"}}, "right": "lo"}});
    assert!(is_dropped(&fate("accept", &[json!([other, drop()])])));
}

#[test]
fn what_looks_at_more_is_not_judged() {
    let sender = json!({"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "192.168.1.0"}});
    let unclear = [
        (
            "drop",
            json!([sender.clone(), dport(json!(9876)), accept()]),
        ),
        ("accept", json!([sender, dport(json!(9876)), drop()])),
        ("drop", json!([dport(json!("@ports")), accept()])),
        (
            "drop",
            json!([{"xt": {"type": "match", "name": "tcp"}}, accept()]),
        ),
        (
            "drop",
            json!([{"vmap": {"key": {"payload": {"protocol": "tcp", "field": "dport"}}, "data": {"set": []}}}, accept()]),
        ),
    ];
    for (policy, rule) in unclear {
        let fate = fate(policy, std::slice::from_ref(&rule));
        let Fate::Unknown(_, way) = fate else {
            panic!("{rule}: {fate:?}");
        };
        assert_eq!(way, "sudo nft list chain inet filter input");
    }
}

#[test]
fn chains_are_followed() {
    let rule = |chain: &str, expr: Value| json!({"rule": {"family": "inet", "table": "filter", "chain": chain, "handle": 9, "expr": expr}});
    let jump = |to: &str| json!([{"jump": {"target": to}}]);
    let judged = |policy: &str, more: &[Value]| {
        judge(&list(policy, &[jump("mine")], more), &PACKET).unwrap()
    };
    let lets = rule("mine", json!([dport(json!(9876)), accept()]));
    assert!(is_let(&judged("drop", std::slice::from_ref(&lets))));
    let back = rule("mine", json!([{"return": null}]));
    assert!(is_dropped(&judged("drop", &[back, lets])));
    let round = rule("mine", jump("mine"));
    assert!(is_let(&judged("accept", &[round])));
}

#[test]
fn every_entrance_has_to_let_it_in() {
    let other = json!({"chain": {"family": "ip", "table": "f", "name": "in", "type": "filter", "hook": "input", "policy": "drop"}});
    let rules = [json!([dport(json!(9876)), accept()])];
    let text = list("drop", &rules, std::slice::from_ref(&other));
    assert!(is_dropped(&judge(&text, &PACKET).unwrap()));
    let six = Packet {
        is_v6: true,
        ..PACKET
    };
    assert!(is_let(&judge(&text, &six).unwrap()), "that one is for IPv4");
}

#[test]
fn so_many_rules_are_not_judged() {
    let rules = vec![json!([dport(json!(1)), accept()]); 300];
    let jumps: Vec<Value> = (0..300)
        .map(|_| json!({"rule": {"family": "inet", "table": "filter", "chain": "a", "expr": [{"jump": {"target": "input"}}]}}))
        .collect();
    let mut with_jump = rules;
    with_jump.insert(0, json!([{"jump": {"target": "a"}}]));
    let fate = judge(&list("drop", &with_jump, &jumps), &PACKET).unwrap();
    assert!(matches!(fate, Fate::Unknown(..)), "{fate:?}");
}
