// SPDX-License-Identifier: Apache-2.0
//
// Z3 as Swift types. Every sort, declaration, expression, solver and model is reference-counted by hand
// (Z3_mk_context_rc): what is not retained may be freed under a goal that still uses it, which empties the goal
// without a word. So nothing outside this folder touches Z3's own types.

import CZ3

/// One Z3 context: belongs to one thread at a time.
public final class SolverContext {
  let raw: Z3_context
  private var wordSorts: [Int: Z3_sort] = [:]
  private let bitSort: Z3_sort

  public init() {
    let configuration = Z3_mk_config()
    Z3_set_param_value(configuration, "model", "true")
    guard let raw = Z3_mk_context_rc(configuration) else { preconditionFailure("Z3 gives no context") }
    Z3_del_config(configuration)
    // Without a handler of ours, Z3's own prints and ends the process.
    Z3_set_error_handler(raw) { _, _ in }
    self.raw = raw
    bitSort = Z3_mk_bool_sort(raw)
    Z3_inc_ref(raw, Z3_sort_to_ast(raw, bitSort))
  }

  deinit {
    for sort in wordSorts.values { Z3_dec_ref(raw, Z3_sort_to_ast(raw, sort)) }
    Z3_dec_ref(raw, Z3_sort_to_ast(raw, bitSort))
    Z3_del_context(raw)
  }

  /// The version of the library that is linked, such as "Z3 4.8.12".
  public static var version: String {
    var (major, minor, build, revision): (UInt32, UInt32, UInt32, UInt32) = (0, 0, 0, 0)
    Z3_get_version(&major, &minor, &build, &revision)
    return "Z3 \(major).\(minor).\(build)"
  }

  func sort(width: Int, isBit: Bool) -> Z3_sort {
    if isBit { return bitSort }
    if let known = wordSorts[width] { return known }
    let sort = checked(Z3_mk_bv_sort(raw, UInt32(width)))
    Z3_inc_ref(raw, Z3_sort_to_ast(raw, sort))
    wordSorts[width] = sort
    return sort
  }

  /// What Z3 made, or an end with Z3's reason: terms are well-sorted, so a refusal is a defect of ours.
  func checked<T>(_ made: T?) -> T {
    guard let made else {
      let code = Z3_get_error_code(raw)
      preconditionFailure("Z3: \(String(cString: Z3_get_error_msg(raw, code)))")
    }
    return made
  }

  /// Stops a check that runs in another thread; it then answers unknown.
  public var interrupter: Interrupter { Interrupter(raw: raw) }

  /// Stops a check of a context that must still exist.
  public struct Interrupter: @unchecked Sendable {
    fileprivate let raw: Z3_context
    /// Z3 allows this call, and only this one, from any thread.
    public func interrupt() { Z3_interrupt(raw) }
  }
}
