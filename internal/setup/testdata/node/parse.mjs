// Parses PowerShell scripts, and prints a line of JSON for each: the errors, and the
// shape of the tree, in which text between quotes is left out.
import { readFileSync } from 'node:fs';
import { Language, Parser } from 'web-tree-sitter';

await Parser.init();
const parser = new Parser();
parser.setLanguage(await Language.load(new URL('node_modules/tree-sitter-powershell/tree-sitter-powershell.wasm', import.meta.url).pathname));

const quoted = { verbatim_string_characters: '"', expandable_string_literal: '"' };

function shape(node, errors) {
  if (node.isError || node.isMissing) {
    errors.push({ row: node.startPosition.row + 1, text: node.text.slice(0, 80) });
  }
  const inner = node.namedChildren.map((child) => shape(child, errors)).join('');
  return '(' + (quoted[node.type] ?? node.type) + inner + ')';
}

for (const file of process.argv.slice(2)) {
  const errors = [];
  const tree = parser.parse(readFileSync(file, 'utf8'));
  const text = shape(tree.rootNode, errors);
  console.log(JSON.stringify({ errors, shape: text }));
}
