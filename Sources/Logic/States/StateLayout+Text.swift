// SPDX-License-Identifier: Apache-2.0

extension StateLayout {
  /// The cell that a register holds.
  public func cell(of register: Int) -> Cell {
    let (component, keys) = owner(of: register)
    return Cell(specification.components[component].name, keys)
  }

  /// The whole state, cell by cell: for small scopes.
  public func values(of state: some Collection<UInt64>) -> StateValues {
    var values: [Cell: UInt64] = [:]
    for (register, value) in state.prefix(count).enumerated() { values[cell(of: register)] = value }
    return StateValues(values, in: specification)
  }

  /// The registers of a state of which some cells are known; the others have their initial value.
  /// Cells that this scope does not have are ignored.
  public func registers(of values: StateValues) -> [UInt64] {
    var registers = initialRegisters
    for entry in values.entries {
      guard let component = specification.componentIndex(entry.cell.component),
        let register = register(component, entry.cell.keys)
      else { continue }
      registers[register] = entry.value
    }
    return registers
  }

  /// The state in words, a line for each variable, and for each entry of a table.
  public func describe(_ state: some Collection<UInt64>) -> [String] {
    values(of: state).lines(in: specification)
  }

  /// What differs between two states, a line for each variable or entry: `lamps[domain0]: light red → green`.
  public func differences(_ before: some Collection<UInt64>, _ after: some Collection<UInt64>) -> [String] {
    describe(
      zip(before, after).enumerated().lazy.filter { $0.element.0 != $0.element.1 }.map {
        Change(register: $0.offset, before: $0.element.0, after: $0.element.1)
      })
  }

  /// One register that an action changes.
  public struct Change: Sendable, Hashable {
    public let register: Int
    public let before: UInt64
    public let after: UInt64
  }

  /// Changes in words, a line for each variable or entry.
  public func describe(_ changes: some Sequence<Change>) -> [String] {
    var before: [Cell: UInt64] = [:]
    var after: [Cell: UInt64] = [:]
    for change in changes {
      let cell = cell(of: change.register)
      before[cell] = change.before
      after[cell] = change.after
    }
    return StateValues(before, in: specification).differences(
      to: StateValues(after, in: specification), in: specification)
  }
}
