// What every page has: the live stream, times that stay true, dialogs, errors of parts.
import "./live.js";
import "./morph.js";
import "./times.js";
import "./dialogs.js";
import "./toasts.js";
