package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sidegate/deploy/inject"
)

const injectHelp = `Read Kubernetes manifests and write them with the gate added to each Deployment,
StatefulSet, DaemonSet, ReplicaSet, Job, CronJob and Pod, also in a List. What is
added stands between comments; all else stays byte for byte, so that --remove
gives back the manifest from before, and a second run changes nothing.

Profiles (deploy/README.md says which is for whom):
  wrapped   the gate starts a stdio tool server, in its container
  hardened  a stdio tool server and the gate each have a container and a user,
            and a socket between them
  fenced    the tool server listens, and packet filters leave the gate as the
            only way in

Without --profile a container that names a port is fenced, and one that names
none is wrapped. Annotations of the pod, or of what makes it, go before:
  sidegate/inject     "false": leave it alone; or the name of the tool server's
                      container, where there are several
  sidegate/transport  stdio, http, sse or websocket
  sidegate/port       where the tool server listens, by number or by name
  sidegate/config     a ConfigMap whose gate.yaml the gate is to read
  sidegate/max-links  the gate's --max-links: how many processes of a stdio tool
                      server, one for each session, there may be
`

const injectUsage = `
Usage:
  sidegate inject -f FILE [flags]

Example:
  helm template my-tool ./chart | sidegate inject -f - | kubectl apply -f -
  sidegate inject -f deployment.yaml --profile hardened > with-gate.yaml
  sidegate inject -f with-gate.yaml --remove > deployment.yaml

Flags:
`

// injectSettings are what inject is told.
type injectSettings struct {
	inject.Options
	file   string
	remove bool
}

// flags are over s, whose values are the defaults.
func (s *injectSettings) flags() *pflag.FlagSet {
	fs := newFlags()
	fs.VarP(stringValue(&s.file, "FILE"), "file", "f", "read manifests there; \"-\": from standard input")
	fs.Var(choiceValue((*string)(&s.Profile), profileNames()...), "profile", "how the gate stands before the tool server")
	fs.Var(stringValue(&s.Image, "IMAGE"), "image", "the gate's image")
	fs.Var(stringValue(&s.FenceImage, "IMAGE"), "fence-image", "the image with iptables, for fenced")
	fs.BoolVar(&s.remove, "remove", false, "take the gate out")
	return fs
}

func profileNames() []string {
	var names []string
	for _, p := range inject.Profiles {
		names = append(names, string(p))
	}
	return names
}

func injectCommand() *cobra.Command {
	// A tag has no plus sign.
	tag := strings.ReplaceAll(buildVersion(), "+", "-")
	s := &injectSettings{Options: inject.Options{Image: "sidegate:" + tag, FenceImage: "sidegate-fence:" + tag}}
	flags := s.flags()
	cmd := &cobra.Command{
		Use:                   "inject -f FILE [flags]",
		Short:                 "Add the gate to Kubernetes manifests, or take it out",
		Long:                  injectHelp,
		DisableFlagsInUseLine: true,
		Args:                  cobra.NoArgs,
		RunE:                  func(cmd *cobra.Command, _ []string) error { return runInject(cmd, s) },
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().AddFlagSet(flags)
	cmd.SetHelpFunc(func(cmd *cobra.Command, _ []string) {
		fmt.Fprintf(cmd.OutOrStdout(), "%s%s%s\n%s", cmd.Long, injectUsage, flags.FlagUsagesWrapped(helpWidth), exitCodesHelp)
	})
	return cmd
}

// runInject writes everything or, where anything is wrong, nothing.
func runInject(cmd *cobra.Command, s *injectSettings) error {
	in, err := s.read(cmd.InOrStdin())
	if err != nil {
		return err
	}
	do := func(in []byte) ([]byte, []inject.Note, error) { return inject.Inject(in, s.Options) }
	if s.remove {
		do = inject.Remove
	}
	out, notes, err := do(in)
	if err != nil {
		return withCode(exitFailed, err)
	}
	if len(notes) == 0 {
		fmt.Fprintln(cmd.ErrOrStderr(), "sidegate: nothing to do: no Deployment, StatefulSet, DaemonSet, ReplicaSet, Job, CronJob or Pod that it is for")
	}
	for _, n := range notes {
		fmt.Fprintf(cmd.ErrOrStderr(), "sidegate: %s\n", n)
	}
	_, err = cmd.OutOrStdout().Write(out)
	return err
}

// maxManifests is far more than a cluster takes in one piece, and little enough
// to hold.
const maxManifests = 64 << 20

func (s *injectSettings) read(stdin io.Reader) ([]byte, error) {
	from := stdin
	switch s.file {
	case "":
		return nil, usageErrorf("--file: is missing: name the manifests, as in: sidegate inject -f deployment.yaml; \"-\" is standard input")
	case "-":
	default:
		f, err := os.Open(s.file)
		if err != nil {
			return nil, usageErrorf("--file: %w", err)
		}
		defer f.Close()
		from = f
	}
	in, err := io.ReadAll(io.LimitReader(from, maxManifests+1))
	if err == nil && len(in) > maxManifests {
		err = fmt.Errorf("--file: more than %d MiB of manifests; give them in several parts", maxManifests>>20)
	}
	return in, err
}
