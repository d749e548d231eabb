// SPDX-License-Identifier: Apache-2.0
//
// Sorts: the named, finite types that a specification's values have. A specification is traced once, over sorts;
// how large a sort is, is decided later: its real size for proofs, a small scope for exploration.

/// A named finite type of scalar values, encoded as unsigned integers from 0.
public struct Sort: Hashable, Sendable {
  /// What the values are, and so what may be done with them.
  public enum Kind: Hashable, Sendable {
    /// Truth values.
    case bit
    /// Unsigned integers with arithmetic modulo a power of two.
    case word
    /// Names without order or arithmetic: permuting them changes nothing, unless the specification names one.
    case identity
    /// One of a few named cases.
    case choice([String])
  }

  public let name: String
  public let kind: Kind
  /// Bits of a value at real size.
  public let realBits: Int
  /// How many values at real size, 0 standing for 2⁶⁴.
  public let realCount: UInt64
  /// How many values when explored, unless the scope says otherwise.
  public let scopeCount: UInt64

  public static let bit = Sort(name: "Bit", kind: .bit, realBits: 1, realCount: 2, scopeCount: 2)

  /// A word sort of `realBits` bits, explored with `scopeBits`.
  public static func word(_ name: String, realBits: Int, scopeBits: Int) -> Sort {
    precondition((1...64).contains(realBits) && (1...realBits).contains(scopeBits), "\(name): 1 … 64 bits")
    return Sort(
      name: name, kind: .word, realBits: realBits, realCount: realBits == 64 ? 0 : 1 << UInt64(realBits),
      scopeCount: scopeBits == 64 ? 0 : 1 << UInt64(scopeBits))
  }

  /// An identity sort of 2^`realBits` values, explored with `scopeCount` of them.
  public static func identity(_ name: String, realBits: Int, scopeCount: UInt64) -> Sort {
    precondition((1...63).contains(realBits), "\(name): 1 … 63 bits")
    precondition(scopeCount >= 1 && scopeCount <= 1 << UInt64(realBits), "\(name): scope within real size")
    return Sort(
      name: name, kind: .identity, realBits: realBits, realCount: 1 << UInt64(realBits),
      scopeCount: scopeCount)
  }

  /// A choice among named cases.
  public static func choice(_ name: String, _ cases: [String]) -> Sort {
    precondition(!cases.isEmpty, "\(name): at least one case")
    let count = UInt64(cases.count)
    return Sort(
      name: name, kind: .choice(cases), realBits: bits(for: count), realCount: count, scopeCount: count)
  }

  /// Bits that hold `count` values: at least 1; 64 for a count of 0 (2⁶⁴).
  public static func bits(for count: UInt64) -> Int {
    count == 0 ? 64 : max(1, 64 - (count - 1).leadingZeroBitCount)
  }

  /// Whether it has as many values at every scope.
  var isFixed: Bool {
    switch kind {
    case .bit, .choice: true
    case .word, .identity: false
    }
  }

  /// A value of this sort in words that a person reads.
  public func describe(_ value: UInt64) -> String {
    switch kind {
    case .bit: return value == 0 ? "false" : "true"
    case .word: return value < 0x1_0000 ? String(value) : "0x" + String(value, radix: 16)
    case .identity: return "\(name.lowercased())\(value)"
    case .choice(let cases):
      return value < UInt64(cases.count) ? cases[Int(value)] : "\(name)(\(value)?)"
    }
  }
}

/// How large each sort is: the one thing that differs between a proof and an exploration.
public struct Scope: Sendable, Hashable, Codable {
  public let name: String
  /// Values a sort has, by the sort's name; 0 stands for 2⁶⁴.
  public var counts: [String: UInt64]
  /// Whether sorts not listed have their real size, or their scope's.
  public let isReal: Bool
  /// The only values that some parameters are given when explored, by "action.parameter": what keeps a state space
  /// small enough is said here, and nowhere else.
  public var arguments: [String: Set<UInt64>]
  /// Actions that are not taken when explored.
  public var excluded: Set<String>

  public init(
    name: String, counts: [String: UInt64] = [:], isReal: Bool = false,
    arguments: [String: Set<UInt64>] = [:],
    excluding excluded: Set<String> = []
  ) {
    self.name = name
    self.counts = counts
    self.isReal = isReal
    self.arguments = arguments
    self.excluded = excluded
  }

  /// The sizes that the ABI allows, for proofs.
  public static let real = Scope(name: "real", isReal: true)
  /// The default small scope, for exploration.
  public static let small = Scope(name: "small")

  /// How many values `sort` has in this scope; 0 stands for 2⁶⁴.
  public func count(of sort: Sort) -> UInt64 {
    counts[sort.name] ?? (isReal ? sort.realCount : sort.scopeCount)
  }

  /// The values that a parameter of an action is given in this scope.
  public func values(of parameter: Parameter, in action: String) -> [UInt64] {
    let allowed = arguments["\(action).\(parameter.name)"]
    return (0..<count(of: parameter.sort)).filter { allowed?.contains($0) ?? true }
  }

  /// Every tuple of values of some sorts, the last running fastest: for sorts of few values.
  public func tuples(of sorts: [Sort]) -> [[UInt64]] {
    Self.product(sorts.map { Array(0..<count(of: $0)) })
  }

  /// Every tuple of arguments that an action is given in this scope; none if it is not taken.
  public func arguments(of action: Action) -> [[UInt64]] {
    if excluded.contains(action.name) { return [] }
    return Self.product(action.parameters.map { values(of: $0, in: action.name) })
  }

  private static func product(_ values: [[UInt64]]) -> [[UInt64]] {
    values.reduce([[]]) { tuples, values in tuples.flatMap { tuple in values.map { tuple + [$0] } } }
  }

  /// Bits of a value of `sort` in this scope.
  public func bits(of sort: Sort) -> Int { Sort.bits(for: count(of: sort)) }

  /// Whether `sort` is a word that has one value in this scope: whatever is computed of it, is 0. It has a bit all the same.
  public func isZero(_ sort: Sort) -> Bool { sort.kind == .word && count(of: sort) == 1 }

  /// The bits that a value of `sort` may have in this scope: arithmetic of words is modulo one more.
  public func mask(of sort: Sort) -> UInt64 { isZero(sort) ? 0 : Logic.mask(bits(of: sort)) }
}
