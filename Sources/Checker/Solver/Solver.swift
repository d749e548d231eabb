// SPDX-License-Identifier: Apache-2.0

import CZ3
import Logic

/// What a solver says of a conjunction.
public enum Satisfiability: String, Sendable, Codable, Hashable {
  case satisfiable, unsatisfiable, unknown
}

/// A conjunction of terms of one elaborator, as Z3 sees it.
public final class Solver {
  private let context: SolverContext
  private let translation: Translation
  private let raw: Z3_solver
  /// The conditions that can be told apart in an unsatisfiable core: the constants that stand for them.
  private var tracked: [Z3_ast] = []

  /// How to look for an answer.
  public enum Strategy: Sendable {
    /// By congruence, deciding bits as they come up: best where entries are read at many keys.
    case congruence
    /// Everything to bits at once: best for chains of arithmetic over few entries.
    case bits
  }

  /// - Parameter timeout: milliseconds for each check, after which the answer is unknown; 0 for no limit.
  public init(
    _ elaborator: Elaborator, in context: SolverContext, strategy: Strategy = .congruence,
    timeout: UInt32 = 0
  ) {
    self.context = context
    translation = Translation(elaborator, in: context)
    raw = context.checked(
      strategy == .congruence
        ? Z3_mk_simple_solver(context.raw)
        : Z3_mk_solver_for_logic(context.raw, Z3_mk_string_symbol(context.raw, "QF_UFBV")))
    Z3_solver_inc_ref(context.raw, raw)
    set(timeout: timeout)
  }

  deinit {
    for literal in tracked { Z3_dec_ref(context.raw, literal) }
    Z3_solver_dec_ref(context.raw, raw)
  }

  private func set(timeout: UInt32) {
    let parameters = context.checked(Z3_mk_params(context.raw))
    Z3_params_inc_ref(context.raw, parameters)
    Z3_params_set_uint(
      context.raw, parameters, Z3_mk_string_symbol(context.raw, "timeout"), timeout == 0 ? .max : timeout)
    Z3_solver_set_params(context.raw, raw, parameters)
    Z3_params_dec_ref(context.raw, parameters)
  }

  /// Adds a condition.
  public func assert(_ term: TermID) {
    Z3_solver_assert(context.raw, raw, translation.expression(of: term))
  }

  /// Adds a condition of which an unsatisfiable core says whether it is needed.
  public func track(_ term: TermID) {
    let name = Z3_mk_string_symbol(context.raw, "tracked\(tracked.count)")
    let literal = context.checked(Z3_mk_const(context.raw, name, context.sort(width: 1, isBit: true)))
    Z3_inc_ref(context.raw, literal)
    tracked.append(literal)
    Z3_solver_assert_and_track(context.raw, raw, translation.expression(of: term), literal)
  }

  /// After a check that found them unsatisfiable: tracked conditions that suffice, by the order in which they were added.
  public var core: [Int] {
    let found = context.checked(Z3_solver_get_unsat_core(context.raw, raw))
    Z3_ast_vector_inc_ref(context.raw, found)
    defer { Z3_ast_vector_dec_ref(context.raw, found) }
    let literals = (0..<Z3_ast_vector_size(context.raw, found)).map { index in
      Z3_ast_vector_get(context.raw, found, index)
    }
    return tracked.indices.filter { index in
      literals.contains { literal in literal.map { Z3_is_eq_ast(context.raw, $0, tracked[index]) } ?? false }
    }
  }

  public func push() { Z3_solver_push(context.raw, raw) }
  public func pop() { Z3_solver_pop(context.raw, raw, 1) }

  /// Whether all conditions, and `assumed` for this once, can hold together.
  public func check(assuming assumed: [TermID] = []) -> Satisfiability {
    var literals: [Z3_ast?] = assumed.map { translation.expression(of: $0) }
    return context.satisfiability(
      Z3_solver_check_assumptions(context.raw, raw, UInt32(literals.count), &literals))
  }

  /// After a check that found them unsatisfiable: which of what was assumed suffices.
  func failed(of assumed: [TermID]) -> [TermID] {
    let found = context.checked(Z3_solver_get_unsat_core(context.raw, raw))
    Z3_ast_vector_inc_ref(context.raw, found)
    defer { Z3_ast_vector_dec_ref(context.raw, found) }
    let numbers = Set(
      (0..<Z3_ast_vector_size(context.raw, found)).map { index in
        Z3_get_ast_id(context.raw, Z3_ast_vector_get(context.raw, found, index))
      })
    return assumed.filter {
      numbers.contains(Z3_get_ast_id(context.raw, translation.expression(of: $0)))
    }
  }

  /// Why the last check answered unknown.
  public var reasonUnknown: String { String(cString: Z3_solver_get_reason_unknown(context.raw, raw)) }

  /// Values under which all conditions hold, after a check that found them satisfiable.
  public var model: SolverModel { SolverModel(context, translation, of: raw) }
}

extension SolverContext {
  /// Whether a script in SMT-LIB 2 is satisfiable: a question asked through Z3's own reader of text.
  public func check(script: String) -> Satisfiability {
    let solver = checked(Z3_mk_solver_for_logic(raw, Z3_mk_string_symbol(raw, "QF_UFBV")))
    Z3_solver_inc_ref(raw, solver)
    defer { Z3_solver_dec_ref(raw, solver) }
    Z3_solver_from_string(raw, solver, script)
    guard Z3_get_error_code(raw) == Z3_OK else { return .unknown }
    return satisfiability(Z3_solver_check(raw, solver))
  }

  func satisfiability(_ answer: Z3_lbool) -> Satisfiability {
    switch answer {
    case Z3_L_TRUE: .satisfiable
    case Z3_L_FALSE: .unsatisfiable
    default: .unknown
    }
  }
}

/// An assignment of values that a solver found.
public final class SolverModel {
  private let context: SolverContext
  private let translation: Translation
  private let raw: Z3_model

  fileprivate init(_ context: SolverContext, _ translation: Translation, of solver: Z3_solver) {
    self.context = context
    self.translation = translation
    raw = context.checked(Z3_solver_get_model(context.raw, solver))
    Z3_model_inc_ref(context.raw, raw)
  }

  deinit { Z3_model_dec_ref(context.raw, raw) }

  /// The term's value; what the solver left open reads as some fixed value.
  public func value(of term: TermID) -> UInt64 {
    var found: Z3_ast?
    guard Z3_model_eval(context.raw, raw, translation.expression(of: term), true, &found), let found else {
      preconditionFailure("Z3 cannot evaluate a term in its own model")
    }
    Z3_inc_ref(context.raw, found)
    defer { Z3_dec_ref(context.raw, found) }
    switch Z3_get_bool_value(context.raw, found) {
    case Z3_L_TRUE: return 1
    case Z3_L_FALSE: return 0
    default: break
    }
    var value: UInt64 = 0
    precondition(
      Z3_get_numeral_uint64(context.raw, found, &value), "Z3's value of a term is not a number of 64 bits")
    return value
  }
}
