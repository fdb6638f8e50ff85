import { StyleSheet, useColorScheme } from "react-native";

const light = { paper: "#f5f7f5", card: "#ffffff", ink: "#12201c", soft: "#4d5c57", line: "#dbe3df", accent: "#0b6b62", warn: "#8a4b00", bad: "#a8231a" };
const dark = { paper: "#0c1211", card: "#141c1a", ink: "#e9f0ed", soft: "#9dada7", line: "#263330", accent: "#3fd6c3", warn: "#f4bf5f", bad: "#ff9b91" };

const sheets = { light: makeSheet(light), dark: makeSheet(dark) };

/** The styles that fit the phone's colour scheme. */
export function useStyles() {
  return sheets[useColorScheme() === "dark" ? "dark" : "light"];
}

/** @param {typeof light} color */
function makeSheet(color) {
  return StyleSheet.create({
    screen: { flex: 1, backgroundColor: color.paper },
    fill: { flex: 1, padding: 20, gap: 12 },
    centred: { alignItems: "center", justifyContent: "center", gap: 16, padding: 24 },
    camera: { flex: 1, borderRadius: 16, overflow: "hidden", backgroundColor: color.card },
    title: { fontSize: 28, fontWeight: "700", color: color.ink },
    text: { fontSize: 17, lineHeight: 25, color: color.ink },
    soft: { fontSize: 15, lineHeight: 22, color: color.soft },
    label: { fontSize: 15, fontWeight: "600", color: color.ink },
    problem: { fontSize: 15, color: color.bad },
    input: { minHeight: 48, paddingHorizontal: 14, borderWidth: 1, borderColor: color.line, borderRadius: 10, fontSize: 17, color: color.ink, backgroundColor: color.card },
    button: { minHeight: 48, alignItems: "center", justifyContent: "center", paddingHorizontal: 16, borderWidth: 1, borderColor: color.line, borderRadius: 10, backgroundColor: color.card },
    pressed: { opacity: 0.6 },
    buttonText: { fontSize: 16, fontWeight: "600", color: color.ink },
    banner: { paddingVertical: 10, paddingHorizontal: 14, borderRadius: 10, backgroundColor: color.card, borderWidth: 1, borderColor: color.line },
    live: { fontSize: 15, fontWeight: "600", color: color.accent },
    wait: { fontSize: 15, fontWeight: "600", color: color.warn },
    stop: { fontSize: 15, fontWeight: "600", color: color.bad },
    row: { flexDirection: "row", justifyContent: "space-between", gap: 16, paddingVertical: 12, borderBottomWidth: StyleSheet.hairlineWidth, borderColor: color.line },
    value: { flexShrink: 1, fontSize: 17, fontWeight: "600", color: color.ink, fontVariant: ["tabular-nums"] },
    stale: { opacity: 0.6 },
  });
}
