// SPDX-License-Identifier: Apache-2.0

/// The actions of a specification at a scope, compiled: immutable, shared by any number of simulators.
public final class ProgramSet: Sendable {
  public let layout: StateLayout
  let code: [Instruction]
  let executable: Executable
  let constants: [UInt64]
  let registerCount: Int
  let programs: [Program]
  /// The largest value of each argument, of one action after the other.
  let largest: [UInt64]
  /// The first register of the arguments, and of the results.
  let arguments: Int
  let results: Int

  /// One action's code; without memory of its own, for it is looked at in each step.
  struct Program: Sendable {
    /// Where it begins: guards, then results and the values to be written; ends with 1, or 0 if a guard forbids it.
    let start: Int
    /// Where the writes begin.
    let commit: Int
    /// Where its arguments begin in `largest`.
    let firstArgument: Int
    let argumentCount: Int
    let resultCount: Int
  }

  /// - Parameters:
  ///   - unrollLimit: up to how many entries a bulk update or a guard over all indices is written out; beyond,
  ///     it is a loop.
  ///   - isNative: whether machine code is made of it, where that can be; otherwise it is interpreted.
  /// - Throws: what `StateLayout` throws.
  public init(_ specification: Specification, scope: Scope, unrollLimit: Int = 64, isNative: Bool = true)
    throws(SpecificationError)
  {
    let layout = try StateLayout(specification, scope: scope)
    let elaborator = Elaborator(specification, scope: scope)
    let argumentCount = specification.actions.map(\.parameters.count).max() ?? 0
    let resultCount = specification.actions.map(\.results.count).max() ?? 0
    arguments = layout.count
    results = layout.count + argumentCount
    let compiler = TermCompiler(elaborator, layout, reserved: argumentCount + resultCount)
    var programs: [Program] = []
    var largest: [UInt64] = []
    for action in specification.actions {
      let symbols = action.parameters.enumerated().map { index, parameter in
        let symbol = elaborator.symbol(parameter.name, parameter.sort)
        compiler.bind(symbol, to: Int32(layout.count + index))
        return symbol
      }
      let compilation = ActionCompilation(
        action, symbols, compiler, results: layout.count + argumentCount, unrollLimit: unrollLimit)
      compiler.scoped(reusing: true) { programs.append(compilation.compile(firstArgument: largest.count)) }
      largest += action.parameters.map { scope.count(of: $0.sort) &- 1 }
    }
    self.layout = layout
    self.programs = programs
    self.largest = largest
    code = compiler.code
    constants = compiler.constants
    registerCount = compiler.registerCount
    executable = Executable(
      compiler.code, constants: compiler.constants, registerCount: compiler.registerCount, isNative: isNative)
  }
}
