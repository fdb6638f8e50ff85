// Scan the host's QR code, or type its address, then watch. The address is the app's only state.

import { useState } from "react";
import { StatusBar } from "react-native";
import { SafeAreaProvider, SafeAreaView } from "react-native-safe-area-context";

import { ManualEntry } from "./ManualEntry.js";
import { Preview } from "./Preview.js";
import { Scanner } from "./Scanner.js";
import { useStyles } from "./styles.js";

export default function App() {
  const styles = useStyles();
  const [address, setAddress] = useState(null);
  const [typing, setTyping] = useState(false);

  return (
    <SafeAreaProvider>
      <StatusBar />
      <SafeAreaView style={styles.screen}>
        {address ? (
          <Preview address={address} onLeave={() => setAddress(null)} />
        ) : typing ? (
          <ManualEntry onAddress={setAddress} onScan={() => setTyping(false)} />
        ) : (
          <Scanner onAddress={setAddress} onType={() => setTyping(true)} />
        )}
      </SafeAreaView>
    </SafeAreaProvider>
  );
}
