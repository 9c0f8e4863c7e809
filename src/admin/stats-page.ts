// `/stats?format=html` and `active-html`: the text page in a frame, once or again and again.
import type { AdminQuery } from './endpoint.ts';
import { escapeHtml, page } from './home-page.ts';

export function statsPage(query: AdminQuery, text: string): string {
  return page('Stats', `${form(query, 'html')}\n<pre id="stats">${escapeHtml(text)}</pre>`);
}

/** Asks for the JSON every few seconds and shows first what changes. */
export function activeStatsPage(query: AdminQuery): string {
  return page(
    'Active stats',
    `${form(query, 'active-html')}
<p id="status"></p>
<table id="stats"></table>
<script>
const seconds = 5;
const values = new Map();
async function update() {
  const query = new URLSearchParams(location.search);
  query.set('format', 'json');
  const status = document.getElementById('status');
  try {
    const response = await fetch('stats?' + query);
    if (!response.ok) throw new Error(await response.text());
    const { stats } = await response.json();
    for (const { name, value } of stats) {
      if (name === undefined) continue;
      const known = values.get(name);
      if (known === undefined) values.set(name, { value, changes: 0 });
      else if (known.value !== value) values.set(name, { value, changes: known.changes + 1 });
    }
    const rows = [...values].sort(([a, x], [b, y]) => y.changes - x.changes || (a < b ? -1 : 1)).slice(0, 200);
    document.getElementById('stats').replaceChildren(...rows.map(([name, { value }]) => {
      const row = document.createElement('tr');
      row.insertCell().textContent = name;
      row.insertCell().textContent = value;
      return row;
    }));
    status.textContent = '';
  } catch (error) {
    status.textContent = error.message;
  }
}
update();
setInterval(update, seconds * 1000);
</script>`,
  );
}

function form(query: AdminQuery, format: string): string {
  const filter = escapeHtml(query.value('filter') ?? '');
  return `<form action="stats" method="get">
<input type="hidden" name="format" value="${format}">
<label>filter <input type="text" name="filter" value="${filter}"></label>
<label><input type="checkbox" name="usedonly"${query.has('usedonly') ? ' checked' : ''}> used only</label>
<button>Show</button>
</form>`;
}
