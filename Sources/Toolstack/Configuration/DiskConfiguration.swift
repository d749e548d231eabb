// SPDX-License-Identifier: Apache-2.0

/// What is wrong with a disk or network specification; the reader adds the place.
struct SpecificationProblem: Error {
  var message: String
}

/// One disk: an element of `disk = [ … ]` (xl-disk-configuration(5)).
///
///     "/images/debian.raw,raw,xvda,rw"
///     "format=raw, vdev=xvda, access=ro, target=/images/debian.raw"
///     "file:/images/debian.raw,xvda,w"
///     "/images/debian.qcow2,qcow2,xvdb,rw"
public struct DiskConfiguration: Sendable, Hashable {
  /// How an image holds a disk's sectors.
  public enum Format: String, Sendable {
    case raw
    /// Read and written by qemu-nbd.
    case qcow2
  }

  /// The image's path.
  public var target: String
  public var format: Format
  /// The name and number under which the guest sees the disk.
  public var device: VirtualDevice
  public var readOnly: Bool
  /// Whether the guest may give room of the image back; not with the word `no-discard`.
  public var discard: Bool

  public init(
    target: String, format: Format = .raw, device: VirtualDevice, readOnly: Bool, discard: Bool = true
  ) {
    self.target = target
    self.format = format
    self.device = device
    self.readOnly = readOnly
    self.discard = discard
  }

  init(_ specification: String) throws(SpecificationProblem) {
    var fields = Fields()
    try fields.parse(specification)
    guard let target = fields.target, !target.isEmpty else {
      throw SpecificationProblem(message: "no image; write target=/path/of/image, or the path first")
    }
    guard let name = fields.vdev, !name.isEmpty else {
      throw SpecificationProblem(message: "no device name; add vdev=xvda")
    }
    guard let device = VirtualDevice(name: name) else {
      throw SpecificationProblem(message: "'\(name)' is no device name; write one such as xvda, xvdb1 or sda")
    }
    let formatName = fields.format.flatMap { $0.isEmpty ? nil : $0 } ?? "raw"
    guard let format = Format(rawValue: formatName) else {
      throw SpecificationProblem(
        message: "format \(formatName) is not supported; convert the image: "
          + "qemu-img convert -O raw \(target) \(target).raw")
    }
    self.target = target
    self.format = format
    self.device = device
    readOnly = try Self.isReadOnly(fields.access) ?? fields.isCompactDisc
    discard = fields.discard
  }

  private static func isReadOnly(_ access: String?) throws(SpecificationProblem) -> Bool? {
    switch access {
    case nil, "": nil
    case "r", "ro": true
    case "w", "rw": false
    case let other?: throw SpecificationProblem(message: "access is ro or rw, not \(other)")
    }
  }
}

/// The fields of a disk specification, as text.
private struct Fields {
  var target: String?
  var format: String?
  var vdev: String?
  var access: String?
  var isCompactDisc = false
  var discard = true
  /// The form `file:/path,xvda,w` has no format field.
  private var hasPrefix = false

  mutating func parse(_ text: String) throws(SpecificationProblem) {
    var rest = Substring(text)
    while !rest.isEmpty {
      // The target takes all that follows, commas too, so that any path can be written.
      let trimmed = rest.drop { $0 == " " || $0 == "\t" }
      if trimmed.hasPrefix("target=") {
        target = String(trimmed.dropFirst("target=".count))
        return
      }
      let field = rest.prefix { $0 != "," }
      rest = rest[field.endIndex...].dropFirst()
      try take(field.trimmed)
    }
  }

  private mutating func take(_ field: String) throws(SpecificationProblem) {
    guard let equals = field.firstIndex(of: "="), target != nil || !field.hasPrefix("/") else {
      return try takeWord(field)
    }
    let value = String(field[field.index(after: equals)...]).trimmed
    switch String(field[..<equals]).trimmed {
    case "format": format = value
    case "vdev": vdev = value
    case "access": access = value
    case "devtype" where value == "cdrom": isCompactDisc = true
    case "devtype" where value == "disk": isCompactDisc = false
    case "backendtype" where value == "phy": break
    case "backend", "backendtype", "script", "devtype":
      throw SpecificationProblem(message: "'\(field)' is not supported; remove it")
    case let key:
      throw SpecificationProblem(message: "unknown field '\(key)'; there are target, format, vdev and access")
    }
  }

  private mutating func takeWord(_ word: String) throws(SpecificationProblem) {
    switch word {
    case "cdrom" where target != nil: isCompactDisc = true
    case "discard" where target != nil: discard = true
    case "no-discard" where target != nil: discard = false
    case "direct-io-safe" where target != nil: break
    default: try takePositional(word)
    }
  }

  private mutating func takePositional(_ word: String) throws(SpecificationProblem) {
    if target == nil {
      let prefix = ["file:", "phy:", "raw:"].first { word.hasPrefix($0) }
      hasPrefix = prefix != nil
      target = String(word.dropFirst(prefix?.count ?? 0))
    } else if format == nil && !hasPrefix {
      format = word
    } else if vdev == nil {
      vdev = word
    } else if access == nil {
      access = word
    } else {
      throw SpecificationProblem(message: "too many fields, beginning with '\(word)'")
    }
  }
}

extension StringProtocol {
  /// Without blanks at either end.
  var trimmed: String {
    var text = Substring(self)
    while let first = text.first, first == " " || first == "\t" { text.removeFirst() }
    while let last = text.last, last == " " || last == "\t" { text.removeLast() }
    return String(text)
  }
}
