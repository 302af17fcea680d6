// Exception vectors, Intel SDM Vol. 3A, 6.3.
namespace Sharpvisor.Cpu.System;

/// <summary>Vector numbers of the architectural exceptions.</summary>
internal static class Vector
{
    public const byte DE = 0;
    public const byte DB = 1;
    public const byte NMI = 2;
    public const byte BP = 3;
    public const byte OF = 4;
    public const byte BR = 5;
    public const byte UD = 6;
    public const byte NM = 7;
    public const byte DF = 8;
    public const byte TS = 10;
    public const byte NP = 11;
    public const byte SS = 12;
    public const byte GP = 13;
    public const byte PF = 14;
    public const byte MF = 16;
    public const byte AC = 17;
    public const byte MC = 18;
    public const byte XM = 19;
}
