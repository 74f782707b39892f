package ship

import (
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// Command is the program's command line.
func Command() *cobra.Command {
	root := &cobra.Command{Use: "ship", Short: "Make what is given to others", SilenceUsage: true, SilenceErrors: true}
	root.AddCommand(imagesCommand())
	return root
}

func imagesCommand() *cobra.Command {
	var of struct {
		root, version, registry, out string
		platforms                    []string
	}
	cmd := &cobra.Command{
		Use: "images [NAME…]", Short: "Make container images as OCI layouts, all of them or those named",
		RunE: func(cmd *cobra.Command, names []string) error {
			s, err := Find(cmd.Context(), of.root, of.version)
			if err != nil {
				return err
			}
			i := Images{Source: s, Registry: of.registry, Out: of.out}
			if i.Programs, err = programsOf(names); err != nil {
				return err
			}
			for _, text := range of.platforms {
				platform, err := ParsePlatform(text)
				if err != nil {
					return err
				}
				i.Platforms = append(i.Platforms, platform)
			}
			return i.Write(cmd.Context(), cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVar(&of.root, "root", ".", "directory of the repository")
	f.StringVar(&of.version, "version", "", "version, and the images' tag; default: the commit's")
	f.StringVar(&of.registry, "registry", "quay.io/hyperfleet", "what the images' names begin with")
	f.StringVar(&of.out, "out", "dist/images", "directory that gets the layouts")
	f.StringSliceVar(&of.platforms, "platform", []string{"linux/" + runtime.GOARCH}, "what to build for")
	return cmd
}

// programsOf returns those named, or all.
func programsOf(names []string) ([]Program, error) {
	all := Programs()
	if len(names) == 0 {
		return all, nil
	}
	var some []Program
	for _, name := range names {
		i := slices.IndexFunc(all, func(p Program) bool { return p.Name == name })
		if i < 0 {
			var known []string
			for _, p := range all {
				known = append(known, p.Name)
			}
			return nil, fmt.Errorf("image %q: there is %s", name, strings.Join(known, ", "))
		}
		some = append(some, all[i])
	}
	return some, nil
}
