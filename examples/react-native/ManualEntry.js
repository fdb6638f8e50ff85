import { useState } from "react";
import { KeyboardAvoidingView, Platform, Text, TextInput } from "react-native";

import { addressOf } from "./address.js";
import { Button } from "./Button.js";
import { useStyles } from "./styles.js";

export function ManualEntry({ onAddress, onScan }) {
  const styles = useStyles();
  const [host, setHost] = useState("");
  const [port, setPort] = useState("9876");
  const [problem, setProblem] = useState(null);

  function submit() {
    const address = addressOf(host, port);
    if (address) onAddress(address);
    else setProblem(host.trim() ? "Enter a valid address, and a port up to 65535." : "Enter an address, such as 192.168.1.20.");
  }

  return (
    <KeyboardAvoidingView style={styles.fill} behavior={Platform.OS === "ios" ? "padding" : undefined}>
      <Text style={styles.title}>Where is the host?</Text>
      <Text style={styles.label}>Address</Text>
      <TextInput
        style={styles.input}
        accessibilityLabel="Address"
        value={host}
        onChangeText={setHost}
        placeholder="192.168.1.20"
        autoCapitalize="none"
        autoCorrect={false}
        keyboardType="url"
        returnKeyType="go"
        onSubmitEditing={submit}
      />
      <Text style={styles.label}>Port</Text>
      <TextInput
        style={styles.input}
        accessibilityLabel="Port"
        value={port}
        onChangeText={setPort}
        keyboardType="number-pad"
        maxLength={5}
        onSubmitEditing={submit}
      />
      <Text style={styles.problem} accessibilityLiveRegion="polite">
        {problem ?? " "}
      </Text>
      <Button title="Connect" onPress={submit} />
      <Button title="Scan the QR code instead" onPress={onScan} />
    </KeyboardAvoidingView>
  );
}
