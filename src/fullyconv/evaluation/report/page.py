"""The report's HTML template and style sheet, which follows the reader's choice of light or dark."""

from string import Template

PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title</title>
<style>$style</style>
</head>
<body>
<header>
<h1>$title</h1>
<p>$subtitle</p>
</header>
<main>
$sections
</main>
</body>
</html>
""")

STYLE = """
:root {
  color-scheme: light dark;
  --page: #fbfbf9; --ink: #1d1d1b; --quiet: #5c5b56; --rule: #dedcd5; --shade: #f1f0ec;
  --right: #6ea6de; --wrong: #ea9a7c; --s0: #1f5f99; --s1: #b3541e; --s2: #39733f; --s3: #79479b;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #161615; --ink: #ebeae5; --quiet: #a8a69f; --rule: #393834; --shade: #22211f;
    --right: #2a639c; --wrong: #96452a; --s0: #7db5e8; --s1: #f0a070; --s2: #86c98d; --s3: #c79be6;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 2rem clamp(1rem, 4vw, 3rem) 4rem; max-width: 70rem;
  background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
  font-variant-numeric: tabular-nums;
}
h1 { margin: 0; font-size: 1.75rem; font-weight: 600; letter-spacing: -0.015em; overflow-wrap: anywhere; }
h2 { margin: 3rem 0 1rem; font-size: 1.2rem; font-weight: 600; }
h3 { margin: 1.5rem 0 0.5rem; font-size: 1rem; font-weight: 600; }
header p, .note, figcaption, .legend, dt { color: var(--quiet); }
header p, .note { margin: 0.25rem 0 1rem; }
.note { max-width: 44rem; }
figure { margin: 0; min-width: 0; }
.numbers { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: 1rem; }
.numbers div { border-top: 2px solid var(--ink); padding-top: 0.5rem; }
.numbers dd { margin: 0; font-size: 2.1rem; font-weight: 600; line-height: 1.2; letter-spacing: -0.02em; }
.numbers dd small { margin-left: 0.1em; font-size: 1.1rem; font-weight: 400; color: var(--quiet); }
.numbers .interval { font-size: 0.875rem; font-weight: 400; letter-spacing: 0; color: var(--quiet); }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 2rem; }
.chart figcaption { color: var(--ink); font-weight: 600; }
.chart svg { display: block; width: 100%; height: auto; }
.chart text { fill: var(--quiet); font-size: 13px; }
.grid { stroke: var(--rule); }
.line { fill: none; stroke: var(--series); stroke-width: 2; stroke-linejoin: round; }
.fill { fill: var(--series); fill-opacity: 0.4; }
.s0 { --series: var(--s0); } .s1 { --series: var(--s1); }
.s2 { --series: var(--s2); } .s3 { --series: var(--s3); }
.dot, .key { fill: var(--series); background: var(--series); }
.key { display: inline-block; width: 1rem; height: 3px; margin-right: 0.4rem; vertical-align: middle; }
.legend { display: flex; flex-wrap: wrap; gap: 0.25rem 1.25rem; margin: 0.5rem 0; font-size: 0.875rem; }
.legend b { color: var(--ink); font-weight: 600; }
.swatch {
  display: inline-block; width: 0.9em; height: 0.9em; margin-right: 0.5em; vertical-align: -0.08em;
  border: 1px solid var(--quiet); border-radius: 2px;
}
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.9375rem; }
th { font-weight: 400; text-align: left; white-space: nowrap; }
.classes { width: 100%; }
.classes th, .classes td { padding: 0.3rem 0.75rem 0.3rem 0; border-bottom: 1px solid var(--rule); }
.classes td, .classes thead th:not(:first-child) { text-align: right; white-space: nowrap; }
.classes tfoot th, .classes tfoot td { border-bottom: 0; font-weight: 600; }
.classes thead th { color: var(--quiet); }
.classes .bar { width: 50%; min-width: 6rem; }
.bar i { display: block; height: 0.7rem; background: var(--right); border-radius: 0 2px 2px 0; }
.confusion { font-size: 0.8125rem; }
.confusion td { min-width: 2.4rem; height: 2rem; border: 1px solid var(--page); text-align: center; }
.confusion thead th { padding: 0.25rem 0; vertical-align: bottom; }
.confusion span { display: block; margin: 0 auto; writing-mode: vertical-rl; transform: rotate(180deg); }
.confusion thead td { color: var(--quiet); vertical-align: bottom; }
.confusion tbody th { position: sticky; left: 0; background: var(--page); }
.confusion tbody th, .confusion thead td { padding-right: 0.6rem; text-align: right; }
.confusion .right { background: color-mix(in srgb, var(--right) var(--v), var(--shade)); }
.confusion .wrong { background: color-mix(in srgb, var(--wrong) var(--v), var(--shade)); }
ol { margin: 0; padding-left: 1.25rem; }
.example { margin: 0 0 1.75rem; }
.example > figcaption { margin-bottom: 0.4rem; overflow-wrap: anywhere; }
.example > figcaption b { color: var(--ink); }
.views { display: grid; grid-template-columns: repeat(4, 1fr); gap: 0.5rem; }
.views img { display: block; width: 100%; height: auto; border-radius: 2px; }
.views img.labels { image-rendering: pixelated; }
.views figcaption { font-size: 0.8125rem; }
pre {
  margin: 0 0 1rem; padding: 0.9rem 1.1rem; overflow-x: auto; background: var(--shade); border-radius: 4px;
  font: 0.8125rem/1.55 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
}
:focus-visible { outline: 2px solid var(--s0); outline-offset: 2px; }
@media (max-width: 40rem) {
  .views { grid-template-columns: 1fr 1fr; }
  .classes .bar { width: 30%; min-width: 4rem; }
}
@media print { body { max-width: none; padding: 0; } .example, .chart { break-inside: avoid; } }
"""

COMPACT = """
html { font-size: 13px; }
body { padding: 0.75rem 1.25rem; max-width: none; font-size: 14px; }
h1 { font-size: 1.35rem; }
h2 { margin: 1.5rem 0 0.5rem; }
.charts { grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); gap: 1.5rem; }
"""
"""What the page has in addition where it is a part of another one, as in a notebook."""
