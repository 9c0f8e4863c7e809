// From the tree of a CEL expression (`google.api.expr.v1alpha1.Expr`, `cel.expr.Expr`) to its text.
import type { Constant, Expr } from '#schema/messages/google/api/expr/v1alpha1.ts';

const operators: Readonly<Record<string, string>> = {
  '_&&_': '&&',
  '_||_': '||',
  '_==_': '==',
  '_!=_': '!=',
  '_<_': '<',
  '_<=_': '<=',
  '_>_': '>',
  '_>=_': '>=',
  '_+_': '+',
  '_-_': '-',
  '_*_': '*',
  '_/_': '/',
  '_%_': '%',
  '@in': 'in',
  _in_: 'in',
  in: 'in',
};

export function celText(expr: Expr): string | { readonly problem: string } {
  try {
    return text(expr);
  } catch (error) {
    if (error instanceof NoText) return { problem: error.message };
    throw error;
  }
}

class NoText extends Error {}

function text(expr: Expr | undefined): string {
  if (expr?.const_expr !== undefined) return constant(expr.const_expr);
  if (expr?.ident_expr !== undefined) return expr.ident_expr.name;
  if (expr?.select_expr !== undefined) {
    const { operand, field, test_only: isTest } = expr.select_expr;
    const path = `${text(operand)}.${field}`;
    return isTest ? `has(${path})` : path;
  }
  if (expr?.call_expr !== undefined) {
    const { function: name, target, args } = expr.call_expr;
    const all = args.map(text);
    if (operators[name] !== undefined && all.length === 2) return `(${all.join(` ${operators[name]} `)})`;
    if (name === '!_' || name === '-_') return `${name[0]}(${all[0]})`;
    if (name === '_?_:_') return `(${all[0]} ? ${all[1]} : ${all[2]})`;
    if (name === '_[_]') return `${all[0]}[${all[1]}]`;
    return `${target === undefined ? '' : `${text(target)}.`}${name}(${all.join(', ')})`;
  }
  if (expr?.list_expr !== undefined) return `[${expr.list_expr.elements.map(text).join(', ')}]`;
  if (expr?.struct_expr !== undefined) {
    const { message_name: name, entries } = expr.struct_expr;
    const pairs = entries.map(
      (it) => `${it.map_key === undefined ? it.field_key : text(it.map_key)}: ${text(it.value)}`,
    );
    return `${name}{${pairs.join(', ')}}`;
  }
  if (expr?.comprehension_expr !== undefined)
    throw new NoText('failed to create an expression: Comprehension support is disabled');
  throw new NoText('failed to create an expression: Invalid empty expression');
}

function constant(it: Constant): string {
  if (it.bool_value !== undefined) return String(it.bool_value);
  if (it.int64_value !== undefined)
    return it.int64_value < 0 ? `(${it.int64_value})` : String(it.int64_value);
  if (it.uint64_value !== undefined) return `${it.uint64_value}u`;
  if (it.double_value !== undefined) return double(it.double_value);
  if (it.string_value !== undefined) return JSON.stringify(it.string_value);
  if (it.bytes_value !== undefined)
    return `b"${Array.from(it.bytes_value, (byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('')}"`;
  if (it.duration_value !== undefined || it.timestamp_value !== undefined)
    throw new NoText('failed to create an expression: unsupported constant type');
  return 'null';
}

function double(value: number): string {
  const shown = String(value);
  const literal = /[.e]/.test(shown) ? shown : `${shown}.0`;
  return value < 0 ? `(${literal})` : literal;
}
