// The dynamic translator's entry point for the composition root.
using System.Runtime.InteropServices;
using Sharpvisor.Cpu.Interpreter;

namespace Sharpvisor.Cpu.Translator;

/// <summary>Creates engines that translate hot 64-bit code to host code and interpret the rest. x86-64 hosts only.</summary>
/// <param name="threshold">How often a block is entered before it is translated; 1: at once.</param>
public sealed class TranslatorEngineFactory(int threshold = TranslatorEngineFactory.DefaultThreshold) : IVpEngineFactory
{
    public const int DefaultThreshold = 16;

    public static bool IsSupported => RuntimeInformation.ProcessArchitecture == Architecture.X64 && OperatingSystem.IsLinux();

    /// <inheritdoc/>
    public IVpEngine Create(int vpIndex, GuestMemory memory, IVpIntercepts intercepts) =>
        new Vp(vpIndex, memory, intercepts, new BlockTranslator((uint)threshold));
}
