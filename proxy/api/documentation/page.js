// Shows openapi.json: each route with its scopes, parameters, body and responses. All text is set as text, never as
// HTML, so that nothing in the schema can become a part of the page's own markup.
"use strict";

const DEPTH = 6;
const BOUNDS = {
  minimum: (number) => `at least ${number}`,
  maximum: (number) => `at most ${number}`,
  minLength: (number) => `at least ${number} characters`,
  maxLength: (number) => `at most ${number} characters`,
  minItems: (number) => `at least ${number} items`,
  maxItems: (number) => `at most ${number} items`,
  pattern: (text) => `pattern ${text}`,
};

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const code = (text) => element("code", {}, text);

class Schema {
  constructor(root) {
    this.root = root;
  }

  resolved(node) {
    const path = node?.$ref?.replace("#/", "").split("/");
    return path ? path.reduce((place, key) => place?.[key], this.root) ?? {} : node ?? {};
  }

  name(node) {
    const reference = node.$ref?.split("/").pop();
    const schema = this.resolved(node);
    if (schema.enum) return schema.enum.map((each) => JSON.stringify(each)).join(" | ");
    if ("const" in schema) return JSON.stringify(schema.const);
    const choices = schema.anyOf ?? schema.oneOf;
    if (choices) return choices.map((each) => this.name(each)).join(" | ");
    if (schema.type === "array") return `list of ${this.name(schema.items ?? {})}`;
    if (reference) return reference;
    return schema.format ? `${schema.type} (${schema.format})` : schema.type ?? "anything";
  }

  bounds(node) {
    const schemas = [this.resolved(node), ...(this.resolved(node).anyOf ?? [])];
    const found = schemas.flatMap((schema) =>
      Object.keys(BOUNDS).filter((key) => key in schema).map((key) => BOUNDS[key](schema[key])));
    const fallback = this.resolved(node).default;
    if (fallback !== undefined && fallback !== null) found.push(`default ${JSON.stringify(fallback)}`);
    return found.join(", ");
  }

  members(node, depth = 0) {
    const schema = this.resolved(node);
    if (depth > DEPTH) return [];
    const inner = [schema.items, ...(schema.properties ? [] : schema.anyOf ?? [])].filter(Boolean);
    const lists = inner.flatMap((each) => this.members(each, depth + 1));
    if (!schema.properties) return lists;
    const list = element("ul", { class: "members" });
    for (const [key, value] of Object.entries(schema.properties)) {
      const needed = schema.required?.includes(key) ? "" : ", may be left out";
      const about = [value.description, this.bounds(value)].filter(Boolean).join(" ");
      const line = element("li", {}, code(key), ` ${this.name(value)}${needed}`, about ? `: ${about}` : "");
      line.append(...this.members(value, depth + 1));
      list.append(line);
    }
    return [list, ...lists];
  }
}

function row(...cells) {
  return element("tr", {}, ...cells.map((cell) => element("td", {}, ...[cell].flat())));
}

function table(caption, heads, rows) {
  const head = element("tr", {}, ...heads.map((each) => element("th", { scope: "col" }, each)));
  return [element("h3", {}, caption), element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows))];
}

function operation(schema, method, path, found) {
  const id = `${method}-${path}`.replace(/[^a-z0-9_]+/gi, "-");
  const title = element("h2", {}, element("span", { class: "method" }, method.toUpperCase()), code(path));
  const section = element("section", { id }, title, element("p", {}, found.description ?? found.summary ?? ""));
  const ways = (found.security ?? []).flatMap((each) => Object.keys(each)).join(" or ");
  const scopes = (found["x-scopes"] ?? []).join(" or ");
  section.append(element("p", {}, "Credential: ", code(ways || "none"), scopes ? " with the scope " : "", code(scopes)));
  if (found.parameters?.length) {
    const rows = found.parameters.map((each) => row(
      code(each.name),
      each.in,
      schema.name(each.schema),
      [each.required ? "Required. " : "", each.description ?? "", " ", schema.bounds(each.schema)],
    ));
    section.append(...table("Parameters", ["Name", "In", "Type", "Meaning"], rows));
  }
  for (const [type, body] of Object.entries(found.requestBody?.content ?? {})) {
    section.append(element("h3", {}, "Body ", code(type)), ...schema.members(body.schema));
  }
  const responses = Object.entries(found.responses).map(([status, response]) => {
    const contents = Object.entries(response.content ?? {});
    const shown = status.startsWith("2") ? contents.flatMap(([, each]) => schema.members(each.schema)) : [];
    return row(code(status), [response.description, ...shown], contents.map(([type]) => element("div", {}, code(type))));
  });
  section.append(...table("Responses", ["Status", "Meaning", "Media type"], responses));
  return section;
}

function show(root, contents, routes) {
  const schema = new Schema(root);
  const list = element("ul");
  routes.replaceChildren();
  for (const [path, methods] of Object.entries(root.paths)) {
    for (const [method, found] of Object.entries(methods)) {
      const section = operation(schema, method, path, found);
      list.append(element("li", {}, element("a", { href: `#${section.id}` }, `${method.toUpperCase()} ${path}`)));
      routes.append(section);
    }
  }
  contents.append(list);
  document.querySelector("h1").append(` ${root.info.version}`);
}

async function start() {
  const [contents, routes] = [document.getElementById("contents"), document.getElementById("routes")];
  try {
    const response = await fetch("openapi.json", { credentials: "omit" });
    if (!response.ok) throw new Error(`the server responded with ${response.status}`);
    show(await response.json(), contents, routes);
    if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
  } catch (error) {
    routes.replaceChildren(element("p", { class: "error" }, `The schema cannot be shown: ${error.message}.`));
  } finally {
    routes.setAttribute("aria-busy", "false");
  }
}

start();
