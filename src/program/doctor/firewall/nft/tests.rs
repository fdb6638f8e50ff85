//! Rules as nft prints them, one chain of input unless a test has more.

use serde_json::json;

use super::*;

const PACKET: Packet = Packet {
    port: 9876,
    interface: Some("wlan0"),
    to: None,
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
            json!([{"vmap": {"key": {"payload": {"protocol": "tcp", "field": "dport"}}, "data": "@ports"}}]),
        ),
        (
            "accept",
            json!([{"xt": {"type": "target", "name": "REJECT"}}]),
        ),
        ("accept", json!([dport(json!(9876)), {"queue": {"num": 1}}])),
        (
            "accept",
            json!([dport(json!(9876)), {"synproxy": {"mss": 1460}}]),
        ),
        (
            "drop",
            json!([{"match": {"op": ">", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 1024}}, accept()]),
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

/// A rule of the chain `mine`.
fn mine(handle: u64, expr: &Value) -> Value {
    json!({"rule": {"family": "inet", "table": "filter", "chain": "mine", "handle": handle, "expr": expr}})
}

fn jump() -> Value {
    json!({"jump": {"target": "mine"}})
}

fn sender() -> Value {
    matching(
        json!({"payload": {"protocol": "ip", "field": "saddr"}}),
        json!("192.168.1.7"),
    )
}

#[test]
fn a_list_of_verdicts_is_gone_through() {
    let port = json!({"payload": {"protocol": "tcp", "field": "dport"}});
    let interface = json!({"meta": {"key": "iifname"}});
    let state = json!({"ct": {"key": "state"}});
    let map = |key: &Value, set: Value| json!([{"vmap": {"key": key, "data": {"set": set}}}]);
    let lets = map(&port, json!([[22, accept()], [9876, accept()]]));
    assert!(is_let(&fate("drop", &[lets])));
    let drops = map(&port, json!([[{"range": [9000, 9999]}, drop()]]));
    assert!(is_dropped(&fate("accept", &[drops])));
    let continues = map(&port, json!([["*", {"continue": null}]]));
    assert!(is_dropped(&fate("drop", &[continues])));
    let usual = json!([
        ["established", accept()],
        ["related", accept()],
        ["invalid", drop()]
    ]);
    assert!(is_dropped(&fate("drop", &[map(&state, usual.clone())])));
    assert!(is_let(&fate("accept", &[map(&state, usual)])));
    let two = json!({"concat": [interface, port]});
    let two = map(&two, json!([[{"concat": ["wlan0", 9876]}, accept()]]));
    assert!(matches!(fate("drop", &[two]), Fate::Unknown(..)));
    // A router's: the way of the private network goes through a chain of its own.
    let router = [map(
        &interface,
        json!([["lo", accept()], ["wlan0", jump()]]),
    )];
    let own = mine(20, &json!([dport(json!(9876)), accept()]));
    assert!(is_let(
        &judge(&list("drop", &router, &[own]), &PACKET).unwrap()
    ));
    assert!(is_dropped(&fate("drop", &router)));
}

#[test]
fn a_return_or_goto_that_may_fit_leaves_the_end_open() {
    let rules = [json!([dport(json!(9876)), jump()])];
    let back = mine(20, &json!([sender(), {"return": null}]));
    let text = list("accept", &rules, &[back, mine(21, &json!([drop()]))]);
    assert!(matches!(judge(&text, &PACKET), Some(Fate::Unknown(..))));
    let goto = [
        json!([sender(), {"goto": {"target": "mine"}}]),
        json!([drop()]),
    ];
    assert!(matches!(fate("accept", &goto), Fate::Unknown(..)));
}

#[test]
fn the_rule_that_drops_is_named_with_its_chain() {
    let found = |rules: &[Value], drops: &Value| match judge(
        &list("accept", rules, &[mine(20, &json!([drops]))]),
        &PACKET,
    ) {
        Some(Fate::Dropped { found, .. }) => found,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        found(&[json!([jump()])], &drop()),
        "nft: the rule with handle 20 in inet filter mine drops TCP 9876"
    );
    // That of the jump only may have dropped it.
    assert_eq!(
        found(&[json!([sender(), jump()]), json!([drop()])], &drop()),
        "nft: the rule with handle 5 in inet filter input drops TCP 9876"
    );
}

#[test]
fn what_drops_before_the_entrance_is_not_judged() {
    let early = |family: &str, hook: &str| json!({"chain": {"family": family, "table": "early", "name": "raw", "type": "filter", "hook": hook, "policy": "accept"}});
    let rule = |family: &str, expr: Value| json!({"rule": {"family": family, "table": "early", "chain": "raw", "handle": 30, "expr": expr}});
    let judged = |family: &str, hook: &str, expr: Value| {
        let more = [early(family, hook), rule(family, expr)];
        judge(&list("accept", &[], &more), &PACKET).unwrap()
    };
    for (family, hook) in [("ip", "prerouting"), ("netdev", "ingress")] {
        let Fate::Unknown(why, way) = judged(family, hook, json!([drop()])) else {
            panic!("{hook} drops it");
        };
        assert_eq!(
            why,
            format!("nft: {family} early raw filters before the packet's way is known")
        );
        assert_eq!(way, format!("sudo nft list chain {family} early raw"));
        let other = json!([dport(json!(22)), drop()]);
        assert!(is_let(&judged(family, hook, other)), "{hook}");
    }
    // As Docker does for its containers.
    let to = |address: &str| {
        let left = json!({"payload": {"protocol": "ip", "field": "daddr"}});
        let rules = [
            early("ip", "prerouting"),
            rule("ip", json!([matching(left, json!(address)), drop()])),
        ];
        let packet = Packet {
            to: Some([192, 168, 1, 20].into()),
            ..PACKET
        };
        judge(&list("accept", &[], &rules), &packet).unwrap()
    };
    assert!(is_let(&to("172.17.0.2")));
    assert!(matches!(to("192.168.1.20"), Fate::Unknown(..)));
}
