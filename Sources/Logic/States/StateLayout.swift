// SPDX-License-Identifier: Apache-2.0

/// Where each scalar of a state lies in a flat array of 64-bit registers, for a specification at a scope.
///
/// Tables lie entry by entry, the last key running fastest. Witnesses (`@Ghost(witness: true)`) have no place.
public struct StateLayout: Sendable {
  /// Where a component lies.
  public struct Place: Sendable, Hashable {
    /// The register of the scalar, or of the entry whose keys are all 0.
    public let base: Int
    /// How many registers: 1 for a scalar.
    public let count: Int
    /// How many values each key has.
    public let keyCounts: [Int]
    /// By how many registers the entry moves when a key grows by one.
    public let strides: [Int]
    /// The largest value that a register may hold.
    public let largest: UInt64
    /// Bits of a value.
    public let bits: Int
  }

  public let specification: Specification
  public let scope: Scope
  /// By component; nil for witnesses.
  public let places: [Place?]
  /// How many registers a state has.
  public let count: Int

  /// - Throws: if the state is too large for 2³⁰ registers, or a name in the specification is outside its sort.
  public init(_ specification: Specification, scope: Scope) throws(SpecificationError) {
    self.specification = specification
    self.scope = scope
    try Self.check(specification, scope)
    var places: [Place?] = []
    var next = 0
    for component in specification.components {
      guard component.role != .witness else {
        places.append(nil)
        continue
      }
      let place = try Self.place(component, at: next, scope)
      places.append(place)
      next += place.count
      guard next <= 1 << 30 else {
        throw SpecificationError("\(specification.name): \(component.name) does not fit in 2³⁰ registers")
      }
    }
    self.places = places
    count = next
  }

  private static func place(_ component: Component, at base: Int, _ scope: Scope) throws(SpecificationError)
    -> Place
  {
    var counts: [Int] = []
    var total = 1
    for sort in component.keys {
      let count = scope.count(of: sort)
      guard count >= 1, count <= 1 << 30, total <= (1 << 30) / Int(count) else {
        throw SpecificationError(
          "\(component.name) has too many entries at scope \(scope.name): give \(sort.name) a smaller count")
      }
      counts.append(Int(count))
      total *= Int(count)
    }
    var strides = counts
    var stride = 1
    for index in counts.indices.reversed() {
      strides[index] = stride
      stride *= counts[index]
    }
    return Place(
      base: base, count: total, keyCounts: counts, strides: strides,
      largest: scope.count(of: component.sort) &- 1, bits: scope.bits(of: component.sort))
  }

  /// Arithmetic needs sorts of 2ⁿ values; a name must be one that its sort has, and named cases are all there at any scope.
  private static func check(_ specification: Specification, _ scope: Scope) throws(SpecificationError) {
    func check(_ value: UInt64, _ sort: Sort) throws(SpecificationError) {
      let count = scope.count(of: sort)
      if sort.kind == .word, count & (count &- 1) != 0 {
        throw SpecificationError("\(sort.name): a word has 2ⁿ values, and scope \(scope.name) says \(count)")
      }
      if sort.isFixed, count != sort.realCount {
        throw SpecificationError(
          "\(sort.name) always has its \(sort.realCount) values, and scope \(scope.name) says \(count)")
      }
      if sort.kind == .identity, value > count &- 1 {
        throw SpecificationError(
          "\(specification.name) names \(sort.describe(value)), and \(sort.name) has \(count) values at scope "
            + scope.name)
      }
    }
    for component in specification.components {
      for sort in component.keys + [component.sort] { try check(0, sort) }
      if case .value(let value) = component.initial { try check(value, component.sort) }
    }
    for action in specification.actions {
      for parameter in action.parameters { try check(0, parameter.sort) }
    }
    for node in specification.nodes {
      if case .constant(let value) = node.operation { try check(value, node.sort) }
    }
  }

  /// The register of a component's entry (of the component, if it is a scalar); nil for a key out of range.
  public func register(_ component: Int, _ keys: [UInt64] = []) -> Int? {
    guard let place = places[component], keys.count == place.keyCounts.count else { return nil }
    var register = place.base
    for (index, key) in keys.enumerated() {
      guard key < UInt64(place.keyCounts[index]) else { return nil }
      register += Int(key) * place.strides[index]
    }
    return register
  }

  /// The component that a register belongs to, and the keys of the entry.
  public func owner(of register: Int) -> (component: Int, keys: [UInt64]) {
    for (index, place) in places.enumerated() {
      guard let place, register >= place.base, register < place.base + place.count else { continue }
      let offset = register - place.base
      let keys = zip(place.keyCounts, place.strides).map { UInt64(offset / $1 % $0) }
      return (index, keys)
    }
    preconditionFailure("register \(register) is not part of a state")
  }

  /// The registers of a state in which every variable has its initial value; `Initial.any` as 0.
  public var initialRegisters: [UInt64] {
    var registers = [UInt64](repeating: 0, count: count)
    for (component, place) in zip(specification.components, places) {
      guard let place, case .value(let value) = component.initial else { continue }
      for register in place.base..<place.base + place.count {
        registers[register] = value & scope.mask(of: component.sort)
      }
    }
    return registers
  }
}
