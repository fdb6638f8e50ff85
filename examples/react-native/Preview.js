import { useKeepAwake } from "expo-keep-awake";
import { useOnlooker } from "onlooker/react";
import { AppState, ScrollView, Text, View } from "react-native";

import { Button } from "./Button.js";
import { sentence } from "./sentence.js";
import { useStyles } from "./styles.js";

// With `appState` the viewer does not dial while the phone is locked, and reconnects at once when it is unlocked.
const options = { appState: AppState };

export function Preview({ address, onLeave }) {
  useKeepAwake();
  const styles = useStyles();
  const { state, session } = useOnlooker(address, options);
  const said = sentence(state);

  return (
    <View style={styles.fill}>
      <View style={styles.banner} accessibilityLiveRegion="polite">
        <Text style={styles[said.tone]}>{said.text}</Text>
      </View>
      {session ? <Session session={session} stale={said.tone !== "live"} /> : <View style={styles.fill} />}
      <Button title="Another host" onPress={onLeave} />
    </View>
  );
}

function Session({ session, stale }) {
  const styles = useStyles();
  return (
    <ScrollView style={stale && styles.stale}>
      <Text style={styles.title}>{session.name || "untitled"}</Text>
      {Object.entries(session.config).map(([field, value]) => (
        <View key={field} style={styles.row} accessible>
          <Text style={styles.text}>{field}</Text>
          <Text style={styles.value} numberOfLines={1}>
            {typeof value === "string" ? value : JSON.stringify(value)}
          </Text>
        </View>
      ))}
      <Text style={styles.soft}>{excerpt(session.data)}</Text>
    </ScrollView>
  );
}

/** How to show data is up to the app; here it is text, and no more of it than suits a phone. */
function excerpt(data) {
  return JSON.stringify(data, null, 2).slice(0, 2000);
}
