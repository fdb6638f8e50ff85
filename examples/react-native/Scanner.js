import { CameraView, useCameraPermissions } from "expo-camera";
import { useEffect, useRef, useState } from "react";
import { AppState, Linking, Text, View } from "react-native";

import { addressIn } from "./address.js";
import { Button } from "./Button.js";
import { useStyles } from "./styles.js";

/** How long the message about a wrong code stays before the next scan counts. */
const PAUSE = 1500;

export function Scanner({ onAddress, onType }) {
  const styles = useStyles();
  const [permission, askPermission, refreshPermission] = useCameraPermissions();
  const { problem, read } = useCodeReader(onAddress);

  // After the user has allowed the camera in the settings, the app should know.
  useEffect(() => {
    const listening = AppState.addEventListener("change", (now) => now === "active" && refreshPermission());
    return () => listening.remove();
  }, [refreshPermission]);

  return (
    <View style={styles.fill}>
      <Text style={styles.title}>Scan the host’s QR code</Text>
      <CameraPlace permission={permission} onAsk={askPermission} onCode={read} />
      <Text style={styles.soft} accessibilityLiveRegion="polite">
        {problem ?? "It is on the host’s screen or in its terminal."}
      </Text>
      <Button title="Type the address" onPress={onType} />
    </View>
  );
}

/** The camera, or the permission that it still needs. */
function CameraPlace({ permission, onAsk, onCode }) {
  const styles = useStyles();
  if (!permission) return <View style={styles.camera} />;
  if (permission.granted) {
    return <CameraView style={styles.camera} barcodeScannerSettings={{ barcodeTypes: ["qr"] }} onBarcodeScanned={onCode} />;
  }
  return (
    <View style={[styles.camera, styles.centred]}>
      <Text style={styles.text}>{permission.canAskAgain ? "The camera is used only to read the QR code." : "The camera is switched off for this app."}</Text>
      {permission.canAskAgain ? <Button title="Use the camera" onPress={onAsk} /> : <Button title="Open the settings" onPress={() => Linking.openSettings()} />}
    </View>
  );
}

/**
 * The camera reports the same code many times a second: the first report locks the reader, permanently if it is an address.
 * A ref, because reports already on their way would see a stale state.
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
    setProblem("This is not an onlooker QR code.");
    timer.current = setTimeout(() => {
      locked.current = false;
      setProblem(null);
    }, PAUSE);
  }

  return { problem, read };
}
