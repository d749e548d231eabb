// SPDX-License-Identifier: Apache-2.0

import CZ3
import Logic

/// The Z3 expressions of one elaborator's terms: each made once, and alive as long as this is.
final class Translation {
  let context: SolverContext
  private let elaborator: Elaborator
  /// By the term's index.
  private var expressions: [Z3_ast?] = []
  private var functions: [Term.Operation: Z3_func_decl] = [:]

  init(_ elaborator: Elaborator, in context: SolverContext) {
    self.elaborator = elaborator
    self.context = context
  }

  deinit {
    for case let expression? in expressions { Z3_dec_ref(context.raw, expression) }
    for function in functions.values {
      Z3_dec_ref(context.raw, Z3_func_decl_to_ast(context.raw, function))
    }
  }

  /// The expression of a term.
  func expression(of root: TermID) -> Z3_ast {
    if let known = known(root) { return known }
    if expressions.count < elaborator.terms.count {
      expressions += [Z3_ast?](repeating: nil, count: elaborator.terms.count - expressions.count)
    }
    // Depth first without recursion: terms can be deeper than a thread's stack.
    var pending = [root]
    while let id = pending.last {
      if expressions[Int(id.index)] != nil {
        pending.removeLast()
        continue
      }
      let missing = elaborator[id].operands.filter { expressions[Int($0.index)] == nil }
      guard missing.isEmpty else {
        pending += missing
        continue
      }
      let made = context.checked(make(elaborator[id]))
      Z3_inc_ref(context.raw, made)
      expressions[Int(id.index)] = made
      pending.removeLast()
    }
    return context.checked(known(root))
  }

  private func known(_ id: TermID) -> Z3_ast? {
    Int(id.index) < expressions.count ? expressions[Int(id.index)] : nil
  }

  private func make(_ term: Term) -> Z3_ast? {
    let raw = context.raw
    func operand(_ index: Int) -> Z3_ast? { expressions[Int(term.operands[index].index)] }
    switch term.operation {
    case .constant(let value):
      if term.isBit { return value == 0 ? Z3_mk_false(raw) : Z3_mk_true(raw) }
      return Z3_mk_unsigned_int64(raw, value, context.sort(width: term.width, isBit: false))
    case .scalar, .symbol, .entry:
      var arguments = term.operands.map { expressions[Int($0.index)] }
      return Z3_mk_app(raw, function(of: term), UInt32(arguments.count), &arguments)
    case .not: return Z3_mk_not(raw, operand(0))
    case .and:
      var both = [operand(0), operand(1)]
      return Z3_mk_and(raw, 2, &both)
    case .or:
      var both = [operand(0), operand(1)]
      return Z3_mk_or(raw, 2, &both)
    case .equal: return Z3_mk_eq(raw, operand(0), operand(1))
    case .lessThan: return Z3_mk_bvult(raw, operand(0), operand(1))
    case .lessOrEqual: return Z3_mk_bvule(raw, operand(0), operand(1))
    case .add: return Z3_mk_bvadd(raw, operand(0), operand(1))
    case .subtract: return Z3_mk_bvsub(raw, operand(0), operand(1))
    case .bitAnd: return Z3_mk_bvand(raw, operand(0), operand(1))
    case .bitOr: return Z3_mk_bvor(raw, operand(0), operand(1))
    case .bitXor: return Z3_mk_bvxor(raw, operand(0), operand(1))
    case .ifThenElse: return Z3_mk_ite(raw, operand(0), operand(1), operand(2))
    case .resize:
      let from = elaborator[term.operands[0]].width
      return term.width > from
        ? Z3_mk_zero_ext(raw, UInt32(term.width - from), operand(0))
        : Z3_mk_extract(raw, UInt32(term.width - 1), 0, operand(0))
    }
  }

  /// The uninterpreted function that a component or a symbol is.
  private func function(of term: Term) -> Z3_func_decl {
    if let known = functions[term.operation] { return known }
    let name: String
    switch term.operation {
    case .scalar(let state, let component), .entry(let state, let component):
      name = "c\(component)@\(state)"
    case .symbol(let index): name = "s\(index)"
    default: preconditionFailure("not a base term")
    }
    var keys: [Z3_sort?] = term.operands.map {
      context.sort(width: elaborator[$0].width, isBit: elaborator[$0].isBit)
    }
    let made = context.checked(
      Z3_mk_func_decl(
        context.raw, Z3_mk_string_symbol(context.raw, name), UInt32(keys.count), &keys,
        context.sort(width: term.width, isBit: term.isBit)))
    Z3_inc_ref(context.raw, Z3_func_decl_to_ast(context.raw, made))
    functions[term.operation] = made
    return made
  }
}
