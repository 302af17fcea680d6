// The first VP's registers at a loaded image's entry point.
using Sharpvisor.Core;

namespace Sharpvisor.Devices.Boot;

/// <summary>
/// Registers to copy into the boot processor's state after its power-on reset. What is not named here is 0 (general
/// registers) or stays as reset left it. Interrupts are off.
/// </summary>
public sealed record BootState
{
    public required ulong Rip { get; init; }

    public ulong Rax { get; init; }

    public ulong Rbx { get; init; }

    public ulong Rsi { get; init; }

    public ulong Rsp { get; init; }

    public ulong RFlags { get; init; } = 2;

    public required ulong Cr0 { get; init; }

    public ulong Cr3 { get; init; }

    public ulong Cr4 { get; init; }

    public ulong Efer { get; init; }

    public required ulong GdtBase { get; init; }

    public required uint GdtLimit { get; init; }

    /// <summary>CS.</summary>
    public required SegmentRegister Code { get; init; }

    /// <summary>DS, ES, SS, FS and GS.</summary>
    public required SegmentRegister Data { get; init; }

    /// <summary>TR.</summary>
    public required SegmentRegister Task { get; init; }
}
