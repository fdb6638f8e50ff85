// Comes before React, which looks once whether there is somebody to report to, as in a browser.

import { changed } from "./until.js";

/** What was not caught: in a hook, the refusals. @type {any[]} */
export const reported = [];

globalThis.reportError = (error) => {
  reported.push(error);
  changed();
};
