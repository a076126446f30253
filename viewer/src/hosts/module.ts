// The viewer as a module: anywidget takes its default export, the service's page its `mount`.

export { mount } from "../ui/mount.js";
export { default } from "./widget.js";
