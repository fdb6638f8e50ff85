import { CameraView, useCameraPermissions } from "expo-camera";
import { useEffect, useRef, useState } from "react";
import { AppState, Linking, Text, View } from "react-native";

import { addressIn } from "./address.js";
import { Button } from "./Button.js";
import { useStyles } from "./styles.js";

/** How long a wrong code is named before the next one counts. */
const PAUSE = 1500;

export function Scanner({ onAddress, onType }) {
  const styles = useStyles();
  const [permission, askPermission, refreshPermission] = useCameraPermissions();
  const { problem, read } = useCodeReader(onAddress);

  // Somebody who allowed the camera in the settings comes back to a page that knows it.
  useEffect(() => {
    const listening = AppState.addEventListener("change", (now) => now === "active" && refreshPermission());
    return () => listening.remove();
  }, [refreshPermission]);

  return (
    <View style={styles.fill}>
      <Text style={styles.title}>Scan the host’s code</Text>
      <CameraPlace permission={permission} onAsk={askPermission} onCode={read} />
      <Text style={styles.soft} accessibilityLiveRegion="polite">
        {problem ?? "It is on the host’s screen or in its terminal."}
      </Text>
      <Button title="Type the address" onPress={onType} />
    </View>
  );
}

/** The camera, or what stands between it and us. */
function CameraPlace({ permission, onAsk, onCode }) {
  const styles = useStyles();
  if (!permission) return <View style={styles.camera} />;
  if (permission.granted) {
    return <CameraView style={styles.camera} barcodeScannerSettings={{ barcodeTypes: ["qr"] }} onBarcodeScanned={onCode} />;
  }
  return (
    <View style={[styles.camera, styles.centred]}>
      <Text style={styles.text}>{permission.canAskAgain ? "The camera reads the code, and nothing else." : "The camera is switched off for this app."}</Text>
      {permission.canAskAgain ? <Button title="Use the camera" onPress={onAsk} /> : <Button title="Open the settings" onPress={() => Linking.openSettings()} />}
    </View>
  );
}

/**
 * The camera reports the same code many times a second: the first one locks the reader, for good when it was an address.
 * A ref, for a state would be read late by reports that are already on their way.
 */
function useCodeReader(onAddress) {
  const locked = useRef(false);
  const timer = useRef();
  const [problem, setProblem] = useState(null);
  useEffect(() => () => clearTimeout(timer.current), []);

  function read({ data }) {
    if (locked.current) return;
    locked.current = true;
    const address = addressIn(data);
    if (address) {
      onAddress(address);
      return;
    }
    setProblem("This code is not an onlooker’s.");
    timer.current = setTimeout(() => {
      locked.current = false;
      setProblem(null);
    }, PAUSE);
  }

  return { problem, read };
}
