import { target } from "onlooker";

/**
 * The text of a QR code, if it is an address that a viewer can connect to.
 * @param {string} text such as `http://192.168.1.20:9876/#t=…` or `192.168.1.20:9876`
 * @returns {string | null}
 */
export function addressIn(text) {
  try {
    target(text);
    return text.trim();
  } catch {
    return null;
  }
}

/**
 * The address from the form's two fields.
 * @param {string} host
 * @param {string} port
 * @returns {string | null}
 */
export function addressOf(host, port) {
  const number = Number(port);
  if (!host.trim() || !Number.isInteger(number) || number < 1 || number > 65535) return null;
  return addressIn(`${host.trim()}:${number}`);
}
