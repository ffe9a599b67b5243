// What every page does.
import "./menus.js";
import "./confirm.js";
import "./forms.js";
import "./times.js";
import "./live.js";
