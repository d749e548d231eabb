// SPDX-License-Identifier: Apache-2.0

/// Gives a traced specification a size: turns nodes into hash-consed, folded terms over base states and symbols.
///
/// One elaborator serves one engine on one thread; terms of different elaborators do not mix.
public final class Elaborator {
  public let specification: Specification
  public let scope: Scope
  public private(set) var terms: [Term] = []
  public private(set) var symbols: [Symbol] = []
  private var known = TermTable()
  /// Comparisons that were looked into, and whether they cannot hold.
  var impossible: [TermID: Bool] = [:]
  /// Terms that were taken apart.
  var parts: [TermID: [TermID]] = [:]

  public init(_ specification: Specification, scope: Scope) {
    self.specification = specification
    self.scope = scope
  }

  public subscript(_ id: TermID) -> Term { terms[Int(id.index)] }

  /// Bits of a value of `sort` in this elaborator's scope.
  public func width(_ sort: Sort) -> Int { scope.bits(of: sort) }

  // MARK: Making terms

  func intern(_ operation: Term.Operation, width: Int, isBit: Bool, _ operands: [TermID] = []) -> TermID {
    let term = Term(operation: operation, width: width, isBit: isBit, operands: operands)
    if let id = known.add(term, to: &terms) { return id }
    return TermID(terms.count - 1)
  }

  /// A new free constant of a sort.
  public func symbol(_ name: String, _ sort: Sort) -> TermID {
    symbols.append(Symbol(name: name, sort: sort))
    return intern(.symbol(symbols.count - 1), width: width(sort), isBit: sort.kind == .bit)
  }

  /// The term of a free constant made before, by its number in `symbols`.
  public func symbolTerm(_ index: Int) -> TermID {
    let sort = symbols[index].sort
    return intern(.symbol(index), width: width(sort), isBit: sort.kind == .bit)
  }

  /// The value, reduced to those that the sort has.
  public func constant(_ value: UInt64, _ sort: Sort) -> TermID {
    constant(value & scope.mask(of: sort), width: width(sort), isBit: sort.kind == .bit)
  }

  public func constant(_ value: UInt64, width: Int, isBit: Bool = false) -> TermID {
    intern(.constant(value & mask(width)), width: width, isBit: isBit)
  }

  public var yes: TermID { constant(1, width: 1, isBit: true) }
  public var no: TermID { constant(0, width: 1, isBit: true) }

  /// The term's value, if it is a constant.
  public func constantValue(_ id: TermID) -> UInt64? {
    if case .constant(let value) = self[id].operation { return value }
    return nil
  }

  /// A scalar component of base state `state`.
  public func scalar(_ component: Int, state: Int = 0) -> TermID {
    let sort = specification.components[component].sort
    return intern(.scalar(state: state, component: component), width: width(sort), isBit: sort.kind == .bit)
  }

  /// An entry of a table component of base state `state`.
  public func entry(_ component: Int, _ keys: [TermID], state: Int = 0) -> TermID {
    let sort = specification.components[component].sort
    return intern(
      .entry(state: state, component: component), width: width(sort), isBit: sort.kind == .bit, keys)
  }
}

/// All ones in the low `width` bits, 1 … 64.
@inlinable public func mask(_ width: Int) -> UInt64 { width >= 64 ? .max : (1 &<< UInt64(width)) &- 1 }
