// What elements of JSX are made by: the build puts it into every module.

export { Fragment, h } from "preact";
