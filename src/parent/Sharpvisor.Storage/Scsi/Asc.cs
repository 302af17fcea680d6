// Additional sense codes and qualifiers (SPC-4 annex D.2), as ASC << 8 | ASCQ.
namespace Sharpvisor.Storage.Scsi;

internal static class Asc
{
    public const ushort None = 0x0000;
    public const ushort WriteError = 0x0C00;
    public const ushort UnrecoveredReadError = 0x1100;
    public const ushort ParameterListLengthError = 0x1A00;
    public const ushort MiscompareDuringVerify = 0x1D00;
    public const ushort InvalidOpcode = 0x2000;
    public const ushort LbaOutOfRange = 0x2100;
    public const ushort InvalidFieldInCdb = 0x2400;
    public const ushort InvalidFieldInParameterList = 0x2600;
    public const ushort WriteProtected = 0x2700;
    public const ushort MediumMayHaveChanged = 0x2800;
    public const ushort SavingParametersNotSupported = 0x3900;
    public const ushort MediumNotPresent = 0x3A00;
    public const ushort MediumRemovalPrevented = 0x5302;
    public const ushort IllegalModeForThisTrack = 0x6400;
}
