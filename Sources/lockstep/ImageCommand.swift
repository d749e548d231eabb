// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Toolstack

/// `lockstep image`: disk images for guests.
struct ImageCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "image", abstract: "Make disk images for guests.", subcommands: [Build.self])

  struct Build: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Make a disk that GRUB for Xen boots from, without privileges.",
      discussion: """
        A folder becomes an ext4 file system; GRUB looks in it for boot/grub/grub.cfg. "debian" makes a small system of \
        Debian's packages: linux-image-cloud-amd64, which is downloaded, and busybox-static, with a menu of two entries; \
        a folder of that name is called ./debian. Needs mke2fs (e2fsprogs); debian needs busybox-static and cpio too.
        Exit status: 0 the image is there, 2 it could not be made.
        """)

    @Argument(help: ArgumentHelp("A folder, or \"debian\".", valueName: "folder|debian"))
    var source: String

    @Argument(help: ArgumentHelp("The image.", valueName: "file"))
    var file: String

    @Option(
      name: .long,
      help: ArgumentHelp(
        "The image's size in MiB; otherwise twice what it holds and 256 more. It is sparse.", valueName: "mib"
      ))
    var size: Int?

    @Option(
      name: .long,
      help: ArgumentHelp("Write an xl.cfg that boots the image by GRUB, too.", valueName: "file"))
    var config: String?

    @Option(
      name: .long,
      help: ArgumentHelp(
        "With debian: the kernel's package, or a folder that it is unpacked in, instead of a download.",
        valueName: "path"))
    var package: String?

    @Flag(name: .long, help: "Replace the image, and the configuration, if they are there already.")
    var force = false

    @OptionGroup var reporting: ReportingOptions

    private struct Line: Encodable {
      let file: String
      let bytes: Int
      let content: Int
      let kernel: String?
      let configuration: String?
      let warnings: [String]
    }

    func validate() throws {
      guard package == nil || source == "debian" else { throw ValidationError("--package goes with debian.") }
    }

    func run() throws {
      let progress = ProgressLine(reporting)
      do {
        if let config, !force, access(config, F_OK) == 0 {
          throw ToolstackError("\(config) is there already; --force replaces it")
        }
        let builder = try DiskImageBuilder(path: file, mebibytes: size, overwrite: force) {
          progress.show($0)
        }
        let interruption = Interruption.end {
          progress.clear()
          builder.discard()
        }
        defer {
          builder.discard()
          withExtendedLifetime(interruption) {}
        }
        let result =
          try source == "debian" ? builder.buildDebian(package: package) : builder.build(folder: source)
        progress.clear()
        if let config { try save(Self.configuration(for: file), to: config) }
        try report(result)
      } catch let error as ToolstackError {
        progress.clear()
        throw CouldNotRun(error.description)
      }
    }

    private func report(_ result: DiskImageBuilder.Result) throws {
      for warning in result.warnings {
        FileHandle.standardError.write(Data("lockstep: warning: \(warning)\n".utf8))
      }
      guard !reporting.json else {
        try printJSON(
          Line(
            file: result.path, bytes: result.byteCount, content: result.contentByteCount,
            kernel: result.kernel,
            configuration: config, warnings: result.warnings))
        return
      }
      let kernel = result.kernel.map { ", Linux \($0)" } ?? ""
      print(
        "\(result.path): an ext4 disk of \(result.byteCount >> 20) MiB, \(result.contentByteCount >> 20) used\(kernel)"
      )
      if let config { print("\(config): boots it: lockstep run \(config)") }
    }

    /// The text of an xl.cfg for an image, with its path in full.
    private static func configuration(for image: String) throws -> String {
      let path = URL(fileURLWithPath: image).standardizedFileURL.path
      let stem = URL(fileURLWithPath: path).deletingPathExtension().lastPathComponent
      let name = String(
        stem.map { $0.isASCII && ($0.isLetter || $0.isNumber || "-_.".contains($0)) ? $0 : "-" })
      guard !path.contains(where: { "\"\\,\n".contains($0) }) else {
        throw CouldNotRun("\(path): a configuration cannot name a path with quotes, commas or line breaks")
      }
      return """
        name = "\(name.isEmpty ? "guest" : name)"
        kernel = "/usr/lib/grub-xen/grub-x86_64-xen.bin"
        memory = 512
        disk = [ "format=raw, vdev=xvda, access=rw, target=\(path)" ]
        vif = [ "" ]

        """
    }
  }
}
