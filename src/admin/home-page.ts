// The page at /: every endpoint with a form for its parameters. Plain HTML, works without scripts.
import type { AdminEndpoint, AdminParameter } from './endpoint.ts';

const style = `
body { font-family: sans-serif; margin: 1em 2em; }
table { border-collapse: collapse; }
th, td { text-align: left; padding: 4px 12px 4px 4px; vertical-align: top; }
tbody { border-top: 1px solid #ccc; }
tbody:nth-child(odd) { background: #f2f2f2; }
form { margin: 0; }
.parameter { padding-left: 2em; }
.link { background: none; border: none; padding: 0; font: inherit; color: #05a; text-decoration: underline; cursor: pointer; }
`;

export function homePage(endpoints: readonly AdminEndpoint[]): string {
  const rows = endpoints.filter(({ path }) => path !== '/').map(endpointRows);
  return page(
    'Admin',
    `<table>
<thead><tr><th>Command</th><th>Description</th></tr></thead>
${rows.join('\n')}
</table>`,
  );
}

export function page(title: string, body: string): string {
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>${title} - chancery</title>
<style>${style}</style>
</head>
<body>
${body}
</body>
</html>
`;
}

export function escapeHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;');
}

function endpointRows({ path, help, mutates, parameters = [] }: AdminEndpoint): string {
  const name = path.slice(1);
  const label = escapeHtml(name);
  const command =
    mutates || parameters.length > 0
      ? `<form action="${label}" method="${mutates ? 'post' : 'get'}" id="${label}"><button${mutates ? '' : ' class="link"'}>${label}</button></form>`
      : `<a href="${label}">${label}</a>`;
  const rows = [`<tr><td>${command}</td><td>${escapeHtml(help)}</td></tr>`];
  for (const parameter of parameters) rows.push(parameterRow(label, parameter));
  return `<tbody>\n${rows.join('\n')}\n</tbody>`;
}

function parameterRow(form: string, { name, help, choices, isFlag }: AdminParameter): string {
  const id = `${form}-${name}`;
  const attributes = `name="${name}" id="${id}" form="${form}"`;
  let input = `<input type="${isFlag ? 'checkbox' : 'text'}" ${attributes}>`;
  if (choices !== undefined) {
    const options = choices.map((it) => `<option value="${it}">${it}</option>`).join('');
    input = `<select ${attributes}>${options}</select>`;
  }
  return `<tr><td class="parameter">${input}</td><td><label for="${id}">${escapeHtml(help)}</label></td></tr>`;
}
