// SPDX-License-Identifier: Apache-2.0

/// A register program that can be run: as machine code where there is some, otherwise interpreted.
package final class Executable: Sendable {
  private let code: [Instruction]
  #if os(Linux) && arch(x86_64)
    private let native: MachineCode?
    private let offsets: [Int]
  #endif

  /// - Parameters:
  ///   - constants: values of the registers −1, −2, …
  ///   - registerCount: how many registers there are from 0 on.
  ///   - words: of a packed state, for code that makes successors.
  ///   - isNative: false has it interpreted.
  package init(
    _ code: [Instruction], constants: [UInt64], registerCount: Int, words: Int = 0, isNative: Bool = true
  ) {
    self.code = code
    #if os(Linux) && arch(x86_64)
      guard isNative, max(registerCount, constants.count) < NativeCompilation.registerLimit else {
        native = nil
        offsets = []
        return
      }
      let compilation = NativeCompilation(code, constants: constants, words: words)
      native = MachineCode(compilation.assembler.code)
      offsets = compilation.offsets
    #endif
  }

  /// Whether it is machine code that runs.
  package var isNative: Bool {
    #if os(Linux) && arch(x86_64)
      native != nil
    #else
      false
    #endif
  }

  /// Runs from an instruction to an `end`, and returns its answer; on the terms of `Instruction.run`.
  @inline(__always)
  package func run(
    from start: Int, _ r: UnsafeMutablePointer<UInt64>, _ output: UnsafeMutablePointer<SuccessorBuffer>? = nil
  ) -> Int {
    #if os(Linux) && arch(x86_64)
      if let native { return native.call(offsets[start], r, output) }
    #endif
    return code.withUnsafeBufferPointer { code in
      code.baseAddress.map { Instruction.run($0, from: start, r, output) } ?? 0
    }
  }
}
