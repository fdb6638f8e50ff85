import { useRoom } from "onlooker/react";

import { COLUMNS, roomPath } from "../plain/list.js";

const options = { columns: COLUMNS };

/** The list with onlooker's own hook. */
export const useOurs = ({ host, token }) => useRoom(`${location.protocol}//${host}${roomPath}`, "todos", { ...options, token });
