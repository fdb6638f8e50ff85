// The client is linked from this repository, where it has its own React for its tests, but an app must have only one.
// An app that installs `onlooker` from npm needs none of this.
const path = require("node:path");
const { getDefaultConfig } = require("expo/metro-config");

const config = getDefaultConfig(__dirname);
config.watchFolders = [path.resolve(__dirname, "../../client")];
config.resolver.resolveRequest = (context, name, platform) => {
  const isReact = name === "react" || name.startsWith("react/");
  return context.resolveRequest(isReact ? { ...context, originModulePath: __filename } : context, name, platform);
};

module.exports = config;
